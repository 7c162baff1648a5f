"""Files of pictures lose nothing that their format, or the other one, can hold."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from streamdenoise.errors import SinkError, SourceOpenError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.pictures.png import encode_deep
from tests.support.frames import make_frame
from tests.support.pictures import (
    EXPOSURE,
    MAKE,
    ORIENTATION,
    SUB_EXIF,
    XMP,
    copied,
    exif,
    icc_profile,
    opened,
    picture,
    saved,
)

TAGGED = ("jpg", "png", "webp", "tif")


def stored(path: Path) -> np.ndarray:
    """Samples of any file of 8 or 16 bits, without what makes them upright."""
    if path.suffix == ".tif":
        return tifffile.imread(path)
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found if found.ndim == 2 else found[..., [2, 1, 0, 3][: found.shape[2]]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_of_gray_and_color_stay(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    samples = picture(16, channels)
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    if suffix == ".tif":
        extra = ["unassalpha"] if channels == 4 else None
        kind = "rgb" if channels > 1 else "minisblack"
        tifffile.imwrite(source, samples, photometric=kind, extrasamples=extra)
    else:
        bgr = samples if channels == 1 else samples[..., [2, 1, 0, 3][:channels]]
        assert cv2.imwrite(str(source), bgr)
    assert copied(source, target) == ()
    np.testing.assert_array_equal(stored(target), samples)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_gray_of_16_bits_keeps_its_transparency(tmp_path: Path, suffix: str) -> None:
    samples, alpha = picture(16, 1), picture(16, 1)[::-1].copy()
    (tmp_path / "in.png").write_bytes(encode_deep(samples, alpha))
    target = tmp_path / f"out{suffix}"
    assert copied(tmp_path / "in.png", target) == ()
    if suffix == ".png":
        assert target.read_bytes()[24:26] == bytes((16, 4))  # gray with alpha
        both = stored(target)[..., [0, 3]]
    else:
        both = stored(target)
    np.testing.assert_array_equal(both, np.stack([samples, alpha], -1))


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"tile": (16, 16)},
        {"planarconfig": "separate"},
        {"compression": "zlib", "predictor": True},
        {"bigtiff": True},
        {"rowsperstrip": 5},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_layout_of_tiff_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    samples = picture(16)
    written = samples
    if "planarconfig" in options:
        written = np.moveaxis(samples, 2, 0)
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, written, photometric="rgb", **options)
    assert copied(path, tmp_path / "out.tif") == ()
    np.testing.assert_array_equal(stored(tmp_path / "out.tif"), samples)


def test_a_compression_that_tifffile_lacks_is_read(tmp_path: Path) -> None:
    samples = picture(16)
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, 5]
    assert cv2.imwrite(str(tmp_path / "in.tif"), samples[..., ::-1], lzw)
    copied(tmp_path / "in.tif", tmp_path / "out.tif")
    np.testing.assert_array_equal(stored(tmp_path / "out.tif"), samples)


def test_signed_samples_stay_signed(tmp_path: Path) -> None:
    samples = picture(16, 1).astype(np.int32) // 16 - 1024
    samples = samples.astype(np.int16)
    tifffile.imwrite(tmp_path / "in.tif", samples, metadata=None)
    assert copied(tmp_path / "in.tif", tmp_path / "out.tif") == ()
    out = stored(tmp_path / "out.tif")
    assert out.dtype == np.int16
    np.testing.assert_array_equal(out, samples)
    (note,) = copied(tmp_path / "in.tif", tmp_path / "out.png")
    assert "shifted by 32768" in note


@pytest.mark.parametrize("source", TAGGED)
@pytest.mark.parametrize("target", TAGGED)
def test_tags_go_from_format_to_format(
    tmp_path: Path, source: str, target: str
) -> None:
    tags: dict[str, Any] = {"icc_profile": icc_profile(), "exif": exif()}
    if source != "webp":
        tags["dpi"] = (300, 200)
    (tmp_path / f"in.{source}").write_bytes(saved(picture(), source, **tags))
    notes = copied(tmp_path / f"in.{source}", tmp_path / f"out.{target}")
    image = opened(tmp_path / f"out.{target}")
    assert image.info["icc_profile"] == icc_profile()
    found = image.getexif()
    assert found[MAKE] == "ACME"
    assert found.get_ifd(SUB_EXIF)[EXPOSURE] == (1, 50)
    if "webp" not in (source, target):
        assert tuple(round(each) for each in image.info["dpi"]) == (300, 200)
        assert notes == ()
    elif source != "webp":
        (note,) = notes
        assert note.endswith("this format cannot hold resolution")


def test_exif_of_tiff_of_16_bits(tmp_path: Path) -> None:
    """tifffile writes no directories; the texts stay, the rest is noted."""
    data = saved(picture(16, 1), "tif", exif=exif(), compression="raw")
    (tmp_path / "in.tif").write_bytes(data)
    assert copied(tmp_path / "in.tif", tmp_path / "out.png") == ()
    assert opened(tmp_path / "out.png").getexif().get_ifd(SUB_EXIF)[EXPOSURE] == (1, 50)
    for name in ("in.tif", "out.png"):
        (note,) = copied(tmp_path / name, tmp_path / f"{name}.tif")
        assert "exposure and other EXIF" in note
        assert opened(tmp_path / f"{name}.tif").getexif()[MAKE] == "ACME"


@pytest.mark.parametrize("depth", [8, 16])
def test_places_on_the_map_stay_in_tiff(tmp_path: Path, depth: int) -> None:
    scale = (30.0, 30.0, 0.0)
    tifffile.imwrite(
        tmp_path / "in.tif",
        picture(depth),
        photometric="rgb",
        extratags=[(33550, "d", 3, scale, True)],
    )
    assert copied(tmp_path / "in.tif", tmp_path / "out.tif") == ()
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page: Any = file.pages[0]
        assert page.tags[33550].value == scale
    assert "GeoTIFF" in copied(tmp_path / "in.tif", tmp_path / "out.png")[0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_once(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    # Dots per inch and pixels have to turn together.
    tags: dict[str, Any] = {"exif": exif(orientation), "xmp": XMP}
    if suffix != "webp":
        tags["dpi"] = (300, 200)
    if suffix == "png":
        del tags["xmp"]
    path, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    path.write_bytes(saved(picture(), suffix, **tags))
    turned = np.asarray(_upright(path)).astype(int)
    copied(path, target)
    image = opened(target)
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - turned).mean() < 3
    assert image.getexif().get(ORIENTATION, 1) == 1
    assert b'tiff:Orientation="6"' not in target.read_bytes()
    assert _upright(target).size == image.size
    if "dpi" in tags:
        expected = (200, 300) if orientation > 4 else (300, 200)
        assert tuple(round(each) for each in image.info["dpi"]) == expected


def _upright(path: Path) -> Image.Image:
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(opened(path))
    assert turned is not None
    return turned.convert("RGB")


def test_turned_tiff_of_16_bits(tmp_path: Path) -> None:
    samples = picture(16)
    tags = [(274, "H", 1, 6, True)]
    tifffile.imwrite(
        tmp_path / "in.tif",
        np.rot90(samples),
        photometric="rgb",
        extratags=tags,
        resolution=(300, 200),
        resolutionunit="INCH",
    )
    copied(tmp_path / "in.tif", tmp_path / "out.tif")
    np.testing.assert_array_equal(stored(tmp_path / "out.tif"), samples)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page: Any = file.pages[0]
        assert page.tags.valueof("Orientation", 1) == 1
        assert page.get_resolution("inch") == (200, 300)


@pytest.mark.parametrize(
    ("mode", "out"),
    [
        ("1", "L"),
        ("L", "L"),
        ("LA", "LA"),
        ("P", "RGB"),
        ("RGB", "RGB"),
        ("RGBA", "RGBA"),
        ("I;16", "I;16"),
    ],
)
def test_modes_of_png(tmp_path: Path, mode: str, out: str) -> None:
    channels = {"LA": 2, "RGBA": 4}.get(mode, 3)
    image = Image.fromarray(picture(8, channels)).convert(mode)
    if mode == "I;16":
        image = Image.fromarray(picture(16, 1))
    image.save(tmp_path / "in.png")
    copied(tmp_path / "in.png", tmp_path / "out.png")
    found = opened(tmp_path / "out.png")
    assert found.mode == out
    same = image if mode == "I;16" else image.convert(out)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(same))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_color_becomes_transparency(
    tmp_path: Path, depth: int, channels: int
) -> None:
    """The color itself changes when the picture is denoised."""
    samples = picture(depth, channels)
    data = encode_deep(samples, None) if depth == 16 else saved(samples, "png")
    key = struct.pack(">H", (1 << depth) - 1) * channels
    packed = struct.pack(">I", len(key)) + b"tRNS" + key
    packed += struct.pack(">I", zlib.crc32(packed[4:]))
    (tmp_path / "in.png").write_bytes(data[:33] + packed + data[33:])
    assert copied(tmp_path / "in.png", tmp_path / "out.png") == ()
    out = tmp_path / "out.png"
    alpha = stored(out)[..., 3]
    assert out.read_bytes()[24] == depth
    peak = (1 << depth) - 1
    is_key = (samples == peak) if channels == 1 else (samples == peak).all(-1)
    np.testing.assert_array_equal(alpha, np.where(is_key, 0, peak))


def test_a_palette_of_grays_is_gray(tmp_path: Path) -> None:
    gray = Image.fromarray(picture(8, 1))
    gray.quantize(16).save(tmp_path / "in.png")
    copied(tmp_path / "in.png", tmp_path / "out.png")
    assert opened(tmp_path / "out.png").mode == "L"


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_ink_becomes_light_with_a_note(tmp_path: Path, suffix: str) -> None:
    ink = Image.fromarray(picture()).convert("CMYK")
    path = tmp_path / f"in.{suffix}"
    options: dict[str, Any] = {"quality": 100} if suffix == "jpg" else {}
    ink.save(path, **options)
    (note,) = copied(path, tmp_path / "out.png")
    assert "CMYK is converted to sRGB" in note
    out = np.asarray(opened(tmp_path / "out.png")).astype(int)
    assert np.abs(out - np.asarray(ink.convert("RGB"))).mean() < 3


def test_transparency_is_put_on_white_where_there_is_none(tmp_path: Path) -> None:
    samples = picture(8, 4)
    samples[..., :3] = 10
    samples[..., 3] = 0
    (tmp_path / "in.png").write_bytes(saved(samples, "png"))
    (note,) = copied(tmp_path / "in.png", tmp_path / "out.jpg")
    assert note.endswith("this format cannot hold transparency: it is put on white")
    assert np.asarray(opened(tmp_path / "out.jpg")).min() > 250


@pytest.mark.parametrize("quality", [30, 95, 99])
def test_jpeg_keeps_a_high_quality_and_raises_a_low_one(
    tmp_path: Path, quality: int
) -> None:
    path, target = tmp_path / "in.jpg", tmp_path / "out.jpg"
    options = {"quality": quality, "subsampling": 0, "progressive": True}
    path.write_bytes(saved(picture(), "jpg", comment=b"mine", **options))
    assert copied(path, target) == ()
    before, after = opened(path), opened(target)
    assert after.info["progressive"]
    assert after.info["comment"] == b"mine"
    assert after.layer == before.layer  # with the sampling of color
    steps = [
        sum(sum(t) for t in each.quantization.values()) for each in (before, after)
    ]
    assert steps[1] <= steps[0]
    assert steps[1] < 2000


def test_iptc_stays_in_jpeg_and_is_noted_elsewhere(tmp_path: Path) -> None:
    data = saved(picture(), "jpg")
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x78\0\x07caption"
    segment = b"\xff\xed" + (len(iptc) + 2).to_bytes(2, "big") + iptc
    (tmp_path / "in.jpg").write_bytes(data[:2] + segment + data[2:])
    assert copied(tmp_path / "in.jpg", tmp_path / "out.jpg") == ()
    assert segment in (tmp_path / "out.jpg").read_bytes()
    (note,) = copied(tmp_path / "in.jpg", tmp_path / "out.png")
    assert "IPTC" in note


def test_texts_of_png_stay(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Title", "Night")
    (tmp_path / "in.png").write_bytes(saved(picture(), "png", pnginfo=texts))
    assert copied(tmp_path / "in.png", tmp_path / "out.png") == ()
    assert opened(tmp_path / "out.png").text == {"Title": "Night"}
    assert "texts of PNG" in copied(tmp_path / "in.png", tmp_path / "out.jpg")[0]


DURATIONS_MS = [100, 200, 300, 100, 2000]


def animation(path: Path, **options: Any) -> list[np.ndarray]:
    frames = [np.roll(picture(), 4 * shift, 1) for shift in range(len(DURATIONS_MS))]
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, **options)
    return frames


@pytest.mark.parametrize("source", ["png", "gif", "webp"])
@pytest.mark.parametrize("target", ["png", "gif", "webp", "apng"])
def test_animations_keep_frames_and_durations(
    tmp_path: Path, source: str, target: str
) -> None:
    path = tmp_path / f"in.{source}"
    frames = animation(path, duration=DURATIONS_MS, loop=3)
    copied(path, tmp_path / f"out.{target}")
    image = opened(tmp_path / f"out.{target}")
    assert image.n_frames == len(frames)
    for number, (frame, duration) in enumerate(zip(frames, DURATIONS_MS, strict=True)):
        image.seek(number)
        found = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(found - frame).mean() < 20
        assert image.info["duration"] == duration
    assert image.info["loop"] == 3


def test_an_animation_is_video_in_time(tmp_path: Path) -> None:
    animation(tmp_path / "in.webp", duration=DURATIONS_MS)
    with open_source(str(tmp_path / "in.webp")) as source:
        frames = list(source)
    assert [frame.pix_fmt for frame in frames] == ["rgb24"] * 5
    assert [float(frame.time_s) for frame in frames] == [0, 0.1, 0.3, 0.6, 0.7]
    last = frames[-1]
    assert last.duration is not None
    assert last.duration * last.time_base == 2


def test_the_still_picture_of_an_animation_is_noted(tmp_path: Path) -> None:
    first, *others = (Image.fromarray(np.roll(picture(), n, 1)) for n in range(4))
    first.save(
        tmp_path / "in.png", save_all=True, append_images=others, default_image=True
    )
    (note,) = copied(tmp_path / "in.png", tmp_path / "out.png")
    assert "still picture" in note
    assert opened(tmp_path / "out.png").n_frames == 3


@pytest.mark.parametrize("depth", [8, 16])
def test_pages_of_tiff_stay_pages(tmp_path: Path, depth: int) -> None:
    pages = [np.roll(picture(depth), shift, 1) for shift in range(3)]
    pages[1] = pages[1][:20]  # pages may have sizes of their own
    with tifffile.TiffWriter(tmp_path / "in.tif") as writer:
        for page in pages:
            writer.write(page, photometric="rgb")
    assert copied(tmp_path / "in.tif", tmp_path / "out.tif") == ()
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        found = [page.asarray() for page in file.pages]
    assert len(found) == 3
    for page, out in zip(pages, found, strict=True):
        np.testing.assert_array_equal(out, page)


@pytest.mark.parametrize("depth", [8, 16])
def test_reduced_copies_are_no_pages(tmp_path: Path, depth: int) -> None:
    samples = picture(depth)
    with tifffile.TiffWriter(tmp_path / "in.tif") as writer:
        writer.write(samples, photometric="rgb")
        writer.write(samples[::2, ::2], photometric="rgb", subfiletype=1)
    (note,) = copied(tmp_path / "in.tif", tmp_path / "out.png")
    assert "1 reduced copies" in note
    np.testing.assert_array_equal(stored(tmp_path / "out.png"), samples)


def test_a_large_stack_of_imagej_has_one_header(tmp_path: Path) -> None:
    stack = np.stack([np.roll(picture(16, 1), shift, 1) for shift in range(4)])
    about = "ImageJ=1.53\nimages=4\nslices=4\n"
    tifffile.imwrite(tmp_path / "in.tif", stack[0], description=about, metadata=None)
    data = (tmp_path / "in.tif").read_bytes()
    assert data.endswith(stack[0].tobytes())
    (tmp_path / "in.tif").write_bytes(data + stack[1:].tobytes())
    copied(tmp_path / "in.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        found = np.stack([page.asarray() for page in file.pages])
    np.testing.assert_array_equal(found, stack)


def test_a_stack_of_imagej_has_all_its_images(tmp_path: Path) -> None:
    stack = np.stack([np.roll(picture(16, 1), shift, 1) for shift in range(4)])
    tifffile.imwrite(tmp_path / "in.tif", stack, imagej=True)
    copied(tmp_path / "in.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_imagej
        np.testing.assert_array_equal(file.asarray(), stack)


def test_another_view_in_a_jpeg_is_noted(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.roll(picture(), n, 1)) for n in range(2))
    first.save(tmp_path / "in.mpo", save_all=True, append_images=[second])
    (tmp_path / "in.mpo").rename(tmp_path / "in.jpg")
    (note,) = copied(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert "1 more pictures in it are left out" in note


def test_only_the_first_page_in_a_folder_of_video_is_noted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    animation(folder / "a.png", duration=DURATIONS_MS)
    (folder / "b.png").write_bytes(saved(picture(), "png"))
    with open_source(str(folder)) as source:
        assert len(list(source)) == 2
        assert any("only the first is used" in note for note in source.info.notes)


def test_video_of_10_bits_becomes_pictures_of_16(tmp_path: Path) -> None:
    value = (600, 512, 512)
    frame = make_frame(0, value, pix_fmt="yuv420p10le", color=ColorInfo(1, 2))
    info = StreamInfo(frame.width, frame.height, frame.pix_fmt)
    with open_sink(str(tmp_path / "%03d.png"), info) as sink:
        sink.write(frame)
    out = stored(tmp_path / "000.png")
    assert out.dtype == np.uint16
    assert np.abs(out.astype(int) - round(600 / 1023 * 65535)).max() <= 1
    with open_sink(str(tmp_path / "%03d.jpg"), info) as sink:
        sink.write(frame)
        sink.write(Frame(**{**_fields(frame), "index": 1}))
        (note,) = sink.notes  # once for all
    assert "cannot hold more than 8 bits" in note


def _fields(frame: Frame) -> dict[str, Any]:
    return {name: getattr(frame, name) for name in Frame.__dataclass_fields__}


def sequence(folder: Path, numbers: list[int], name: str = "img_%04d.png") -> None:
    for number in numbers:
        samples = np.full((16, 16, 3), number, np.uint8)
        (folder / (name % number)).write_bytes(saved(samples, "png"))


def test_a_sequence_is_read_at_its_rate(tmp_path: Path) -> None:
    sequence(tmp_path, [3, 4, 5, 6])
    options = ReadOptions(input_rate=Fraction(10), as_stored=True)
    with open_source(str(tmp_path / "img_%04d.png"), options) as source:
        assert source.info.frame_rate == 10
        frames = list(source)
        assert source.info.notes == ()
    assert [frame.planes[0][0, 0, 0] for frame in frames] == [3, 4, 5, 6]
    assert [frame.time_s for frame in frames] == [0, 0.1, 0.2, 0.3]
    with open_sink(str(tmp_path / "out_%02d.png"), source.info) as sink:
        for frame in frames:
            sink.write(frame)
    names = sorted(path.name for path in tmp_path.glob("out_*"))
    assert names == ["out_03.png", "out_04.png", "out_05.png", "out_06.png"]


def test_missing_numbers_are_noted_and_keep_their_time(tmp_path: Path) -> None:
    sequence(tmp_path, [8, 9, 11, 14], "img_%d.png")
    (tmp_path / "img_010.png").write_bytes(b"another name")
    with open_source(str(tmp_path / "img_%d.png")) as source:
        frames = list(source)
        (note,) = source.info.notes
    assert "no number 10, 12 to 13" in note
    assert [frame.index for frame in frames] == [0, 1, 3, 6]
    assert [frame.time_s for frame in frames] == [0, 0.04, 0.12, 0.24]


def test_a_pattern_without_files(tmp_path: Path) -> None:
    with pytest.raises(SourceOpenError, match="no file fits this pattern, such as a_1"):
        open_source(str(tmp_path / "a_%d.png"))
    with pytest.raises(SourceOpenError, match="cannot be read"):
        open_source(str(tmp_path / "none" / "a_%d.png"))


def test_a_percent_sign_in_the_name_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "50%d.png"
    path.write_bytes(saved(picture(), "png"))
    with open_source(str(path)) as source:
        assert len(list(source)) == 1


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "webp", "tif", "jpg"])
@pytest.mark.parametrize("big", [12000, 16000])
def test_an_absurd_size_is_refused_before_it_is_read(
    tmp_path: Path, suffix: str, big: int
) -> None:
    data = bytearray(saved(picture(8, 3, 300, 200), suffix))
    places = {
        "png": [(16, 4, "big"), (20, 4, "big")],
        "gif": [(6, 2, "little"), (8, 2, "little")],
        "bmp": [(18, 4, "little"), (22, 4, "little")],
    }
    if suffix in places:
        for place, size, order in places[suffix]:
            data[place : place + size] = big.to_bytes(size, order)  # type: ignore
    elif suffix == "webp":
        data[26:30] = (big << 16 | big).to_bytes(4, "little")
    elif suffix == "jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = big.to_bytes(2, "big") * 2
    else:
        with _tiff(tmp_path, bytes(data)) as file:
            first: Any = file.pages[0]
            tags = first.tags
            offsets = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
        for at in offsets:
            data[at : at + 4] = big.to_bytes(4, "little")
    path = tmp_path / f"bomb.{suffix}"
    path.write_bytes(bytes(data))
    with pytest.raises(SourceOpenError, match="megapixels") as caught:
        open_source(str(path))
    assert str(caught.value).startswith(str(path))


def _tiff(folder: Path, data: bytes) -> tifffile.TiffFile:
    (folder / "plain.tif").write_bytes(data)
    return tifffile.TiffFile(folder / "plain.tif")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_left_of_a_picture_is_read_with_a_note(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    samples = np.random.default_rng(0).integers(0, 256, picture(8, channels).shape)
    data = saved(samples.astype(np.uint8), suffix, exif=exif())
    path, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    path.write_bytes(data[: len(data) * 3 // 4])
    (note,) = copied(path, target)
    assert note == f"{path} is truncated: the decoder filled in the rest"
    found = opened(target)
    assert found.mode == ("L" if channels == 1 else "RGB")
    assert np.asarray(found)[:8].std() > 20


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "bmp", "deep"])
def test_damaged_files_end_in_a_sentence(tmp_path: Path, suffix: str) -> None:
    if suffix == "deep":
        tifffile.imwrite(tmp_path / "in.tif", picture(16), photometric="rgb")
        data = (tmp_path / "in.tif").read_bytes()
    else:
        data = saved(picture(), suffix)
    rng = np.random.default_rng(0)
    for number in range(60):
        broken = bytearray(data[: rng.integers(4, len(data))])
        for at in rng.integers(0, min(len(broken), 400), 5):
            broken[at] = rng.integers(256)
        path = tmp_path / f"{number}.{suffix.replace('deep', 'tif')}"
        path.write_bytes(bytes(broken))
        _read_or_refuse(path)


def _read_or_refuse(path: Path) -> None:
    try:
        with open_source(str(path), ReadOptions(as_stored=True)) as source:
            list(source)
    except SourceOpenError as exc:
        if str(path) not in str(exc):
            raise


def test_other_samples_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((8, 8), np.float32))
    with pytest.raises(SourceOpenError, match="float32 samples"):
        open_source(str(tmp_path / "float.tif"))
    bands = np.zeros((8, 8, 5), np.uint16)
    tifffile.imwrite(
        tmp_path / "bands.tif", bands, photometric="minisblack", planarconfig="contig"
    )
    with pytest.raises(SourceOpenError, match="not gray or RGB"):
        open_source(str(tmp_path / "bands.tif"))


def test_a_picture_too_large_for_the_format(tmp_path: Path) -> None:
    wide = make_frame(0, 100, width=16384, height=2, pix_fmt="gray")
    sink = open_sink(str(tmp_path / "wide.webp"), StreamInfo(16384, 2, "gray"))
    sink.write(wide)
    with pytest.raises(SinkError, match="at most 16383 pixels a side"):
        sink.close()
    assert list(tmp_path.iterdir()) == []
