"""Encoder options that keep the tags of pictures: chroma location, HDR, both eyes."""

from streamdenoise.frame import MasteringDisplay, PictureTags
from streamdenoise.imaging.planar import planar_format
from streamdenoise.io.ffmpeg.pixel_formats import planar_pix_fmt

# Codecs in which chroma is on the left unless they say otherwise.
_LEFT_BY_DEFAULT = ("libx264", "libx265", "mpeg2video", "mpeg4")
# Locations that a codec can say itself; Matroska says all of them.
_ANY = ("left", "center", "topleft", "top")
_WRITTEN = {
    **dict.fromkeys(("libx264", "libx265", "h264_nvenc", "hevc_nvenc"), _ANY),
    "libsvtav1": ("left", "topleft"),
}
_MATROSKA = ("matroska", "webm")

# Units of HEVC's and H.264's messages: 0.00002 of a coordinate, 0.0001 cd/m2.
_PER_COORDINATE, _PER_NIT = 50_000, 10_000

# Matroska's stereo modes -> frame packing of H.264, which has the left eye first.
_FRAME_PACKING = {
    "checkerboard_lr": "0",
    "col_interleaved_lr": "1",
    "row_interleaved_lr": "2",
    "left_right": "3",
    "top_bottom": "4",
    "block_lr": "5",
}
_WEBM_STEREO = ("left_right", "right_left", "top_bottom", "bottom_top")


def picture_options(
    codec: str, format_name: str, pix_fmt: str, tags: PictureTags
) -> tuple[dict[str, str], list[str]]:
    """Options for FFmpeg's encoder `codec`, and notes on what it cannot keep.

    Args:
        codec: FFmpeg's name of the encoder.
        format_name: the output's muxer.
        pix_fmt: the encoded format.
        tags: those of the source.
    """
    options: dict[str, str] = {}
    notes: list[str] = []
    form = planar_format(planar_pix_fmt(pix_fmt))
    location = tags.chroma_location
    if location and form is not None and form.chroma_shift == (1, 1):
        if location != "left" or codec not in _LEFT_BY_DEFAULT:
            options["chroma_sample_location"] = location
        if (
            location != "left"
            and location not in _WRITTEN.get(codec, ())
            and format_name not in _MATROSKA
        ):
            notes.append(
                f"chroma location {location} is left out: {codec} in {format_name} "
                "cannot say it; an output in .mkv can"
            )
    params = _hdr_params(codec, tags)
    if params is None:
        notes.append(
            "HDR10 mastering display and light level are left out: x264, x265 and "
            "svtav1 keep them"
        )
    if tags.stereo and not keeps_stereo_mode(format_name, tags):
        if codec == "libx264" and tags.stereo in _FRAME_PACKING:
            params = [*(params or []), f"frame-packing={_FRAME_PACKING[tags.stereo]}"]
        else:
            notes.append(
                f"the stereo layout {tags.stereo} is left out: an output in .mkv "
                "keeps it"
            )
    if params:
        options[f"{codec.removeprefix('lib')}-params"] = ":".join(params)
    return options, notes


def keeps_stereo_mode(format_name: str, tags: PictureTags) -> bool:
    """Whether the container has a field for the stereo layout of `tags`."""
    if format_name == "webm":
        return tags.stereo in _WEBM_STEREO
    return format_name == "matroska"


def _hdr_params(codec: str, tags: PictureTags) -> list[str] | None:
    """The encoder's own parameters for HDR10; None if it has none."""
    display, light = tags.mastering_display, tags.content_light
    if display is None and light is None:
        return []
    if codec not in ("libx264", "libx265", "libsvtav1"):
        return None
    names = {
        "libx264": ("mastering-display", "cll"),
        "libx265": ("master-display", "max-cll"),
        "libsvtav1": ("mastering-display", "content-light"),
    }[codec]
    params = []
    if display is not None and display.primaries and any(display.luminance):
        params.append(f"{names[0]}={_display_text(display, codec == 'libsvtav1')}")
    if light is not None:
        params.append(f"{names[1]}={light[0]},{light[1]}")
    return params


def _display_text(display: MasteringDisplay, in_units: bool) -> str:
    """As ``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)``, in units or in integer steps."""

    def pair(values: tuple[float, float], steps: int) -> str:
        if in_units:
            return ",".join(f"{value:.5f}" for value in values)
        return ",".join(f"{round(value * steps)}" for value in values)

    red, green, blue, white = (
        pair(each[:2], _PER_COORDINATE) for each in display.primaries
    )
    darkest, brightest = display.luminance
    light = pair((brightest, darkest), _PER_NIT)
    return f"G({green})B({blue})R({red})WP({white})L({light})"
