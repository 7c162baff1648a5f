"""DICOM in and out: pixels change, all that is about the patient stays."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdenoise.errors import SinkError, SourceOpenError
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.pictures.dicom import encode
from tests.support.pictures import copied, opened, picture, saved

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import (  # noqa: E402
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

PRIVATE = (0x0009, 0x1001)
CHANGED = {
    "ImageType",
    "SOPInstanceUID",
    "SourceImageSequence",
    "DerivationDescription",
    "PixelData",
}


def write(
    path: Path,
    pixels: np.ndarray,
    *,
    photometric: str = "MONOCHROME2",
    bits: int = 16,
    syntax: UID = ExplicitVRLittleEndian,
    **tags: Any,
) -> Any:
    data_set: Any = Dataset()
    meta: Any = FileMetaDataset()
    data_set.file_meta = meta
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.SOPInstanceUID = generate_uid()
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = (
        generate_uid(),
        generate_uid(),
    )
    data_set.PatientName, data_set.PatientID = "Doe^Jane", "42"
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data_set.add_new((0x0009, 0x0010), "LO", "ACME")
    data_set.add_new(PRIVATE, "LO", "of the maker")
    for name, value in tags.items():
        setattr(data_set, name, value)
    data_set.set_pixel_data(pixels, photometric, bits, generate_instance_uid=False)
    if syntax.is_compressed:
        data_set.compress(syntax, generate_instance_uid=False)
    data_set.save_as(path, enforce_file_format=True)
    return pydicom.dcmread(path)


KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "signed": (
        (picture(16, 1) // 16).astype(np.int16) - 1024,
        {"RescaleSlope": 2, "RescaleIntercept": -7, "PixelPaddingValue": -1024},
    ),
    "12 bits": (picture(16, 1) // 16, {"bits": 12, "WindowCenter": 40}),
    "16 bits": (picture(16, 1), {"SmallestImagePixelValue": 3}),
    "8 bits": (picture(8, 1), {"bits": 8}),
    "inverted": (picture(16, 1) // 16, {"bits": 12, "photometric": "MONOCHROME1"}),
    "color": (picture(8, 3), {"bits": 8, "photometric": "RGB"}),
    "cine": (
        np.stack([np.roll(picture(16, 1), n, 1) for n in range(3)]),
        {"FrameTime": "40"},
    ),
    "color cine": (
        np.stack([np.roll(picture(8, 3), n, 1) for n in range(3)]),
        {"bits": 8, "photometric": "RGB", "FrameTime": "40"},
    ),
    "RLE": (picture(16, 1) // 16, {"bits": 12, "syntax": RLELossless}),
    "JPEG 2000": (picture(16, 1) // 16, {"bits": 12, "syntax": JPEG2000Lossless}),
    "JPEG-LS": (picture(16, 1) // 16, {"bits": 12, "syntax": JPEGLSLossless}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_pixels_stays(tmp_path: Path, kind: str) -> None:
    pixels, options = KINDS[kind]
    before = write(tmp_path / "in.dcm", pixels, **options)
    assert copied(tmp_path / "in.dcm", tmp_path / "out.dcm") == ()
    after = pydicom.dcmread(tmp_path / "out.dcm")
    np.testing.assert_array_equal(after.pixel_array, pixels)
    assert after.pixel_array.dtype == before.pixel_array.dtype
    different = {
        each.keyword
        for each in (*before, *after)
        if before.get(each.tag) != after.get(each.tag)
    }
    if "SmallestImagePixelValue" in options:
        different.discard("SmallestImagePixelValue")
        assert after.SmallestImagePixelValue == pixels.min()
    assert different <= CHANGED
    assert after.PatientName == "Doe^Jane"
    assert after[PRIVATE].value == "of the maker"


def test_the_result_is_a_derived_instance_of_its_own(tmp_path: Path) -> None:
    before = write(tmp_path / "in.dcm", picture(16, 1))
    copied(tmp_path / "in.dcm", tmp_path / "out.dcm")
    after = pydicom.dcmread(tmp_path / "out.dcm")
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert list(after.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    (source,) = after.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == before.SOPInstanceUID


def test_a_cine_is_video_and_a_volume_is_pages(tmp_path: Path) -> None:
    stack, _ = KINDS["cine"]
    write(tmp_path / "cine.dcm", stack, FrameTime="33.3")
    write(tmp_path / "volume.dcm", stack)
    for name, is_animation in (("cine", True), ("volume", False)):
        with open_source(str(tmp_path / f"{name}.dcm")) as source:
            frames = list(source)
            assert len(frames) == 3
            assert source.info.is_animation is is_animation
            if is_animation:
                assert [frame.pts for frame in frames] == [0, 33, 67]
                assert [frame.duration for frame in frames] == [33, 34, 33]


def test_other_formats_show_the_window(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 4096, 16, dtype=np.uint16), (20, 1))
    write(
        tmp_path / "in.dcm",
        ramp,
        bits=12,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=1000,
        WindowWidth=2000,
    )
    (note,) = copied(tmp_path / "in.dcm", tmp_path / "out.png")
    assert "the window is applied" in note
    shown = np.asarray(opened(tmp_path / "out.png"))
    assert shown.dtype == np.uint16
    real = 2.0 * ramp - 1000
    expected = ((real - 0) / 2000).clip(0, 1) * 65535
    assert np.abs(shown - expected).max() < 80
    write(tmp_path / "inverted.dcm", ramp, bits=12, photometric="MONOCHROME1")
    copied(tmp_path / "inverted.dcm", tmp_path / "inverted.png")
    inverted = np.asarray(opened(tmp_path / "inverted.png"))
    assert inverted[0, 0] == 65535
    assert inverted[0, -1] == 0


def test_frames_can_be_written_one_by_one(tmp_path: Path) -> None:
    stack, _ = KINDS["cine"]
    write(tmp_path / "in.dcm", stack)
    copied(tmp_path / "in.dcm", tmp_path / "out_%d.dcm")
    found = [pydicom.dcmread(tmp_path / f"out_{n}.dcm") for n in range(3)]
    for frame, data_set in zip(stack, found, strict=True):
        np.testing.assert_array_equal(data_set.pixel_array, frame)
    assert len({each.SOPInstanceUID for each in found}) == 3


def test_frames_without_a_window_are_shown_alike(tmp_path: Path) -> None:
    first = picture(16, 1) // 16
    write(tmp_path / "in.dcm", np.stack([first, first // 2]), bits=12)
    copied(tmp_path / "in.dcm", tmp_path / "out_%d.png")
    bright, dark = (np.asarray(opened(tmp_path / f"out_{n}.png")) for n in range(2))
    assert bright.max() == 65535
    low, high = int(first.min()), int(first.max())
    share = (high // 2 - low) / (high - low)
    assert dark.max() == pytest.approx(65535 * share, abs=1)


def test_dicom_is_found_by_its_content(tmp_path: Path) -> None:
    write(tmp_path / "in.dcm", picture(16, 1))
    (tmp_path / "in.dcm").rename(tmp_path / "in.png")
    assert "window" in copied(tmp_path / "in.png", tmp_path / "out.png")[0]


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    before = write(tmp_path / "in.dcm", picture(16, 1))
    del before.file_meta
    before.save_as(tmp_path / "bare.dcm", implicit_vr=True, little_endian=True)
    copied(tmp_path / "bare.dcm", tmp_path / "out.dcm")
    after = pydicom.dcmread(tmp_path / "out.dcm")
    np.testing.assert_array_equal(after.pixel_array, picture(16, 1))


def test_big_endian_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "in.dcm", picture(16, 1))
    options = ReadOptions(as_stored=True)
    with open_source(str(tmp_path / "in.dcm"), options) as source:
        (frame,) = source
    assert frame.still is not None
    data_set: Any = frame.still.own["dicom"]
    data_set.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    with pytest.raises(SinkError, match="big-endian"):
        encode([(frame.planes[0], frame.still)])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"BitsAllocated": 32}, "pixels of 32 bits"),
        ({"Rows": 60000, "Columns": 60000}, "megapixels"),
    ],
)
def test_what_cannot_be_denoised_is_said(
    tmp_path: Path, tags: dict[str, Any], message: str
) -> None:
    data_set = write(tmp_path / "in.dcm", picture(16, 1))
    for name, value in tags.items():
        setattr(data_set, name, value)
    data_set.save_as(tmp_path / "in.dcm")
    with pytest.raises(SourceOpenError, match=message):
        open_source(str(tmp_path / "in.dcm"))


def test_damaged_and_empty_files(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("not DICOM at all")
    with pytest.raises(SourceOpenError, match="text"):
        open_source(str(tmp_path / "text.dcm"))
    data_set = write(tmp_path / "in.dcm", picture(16, 1))
    data_set.PixelData = data_set.PixelData[:100]
    data_set.save_as(tmp_path / "short.dcm")
    with pytest.raises(SourceOpenError, match="short"):
        open_source(str(tmp_path / "short.dcm"))
    del data_set.PixelData
    data_set.save_as(tmp_path / "report.dcm")
    with pytest.raises(SourceOpenError, match="no pixels"):
        open_source(str(tmp_path / "report.dcm"))


def test_every_damage_ends_in_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "in.dcm", picture(16, 1))
    data = (tmp_path / "in.dcm").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "broken.dcm"
    refused = 0
    for _ in range(150):
        broken = bytearray(data)
        for at in rng.integers(132, len(data) - 3072, 4):
            broken[at] = rng.integers(256)
        path.write_bytes(bytes(broken))
        try:
            with open_source(str(path), ReadOptions(as_stored=True)) as source:
                list(source)
        except SourceOpenError:
            refused += 1
    assert refused


def test_dicom_needs_the_data_of_a_patient(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(saved(picture(), "png"))
    with pytest.raises(SinkError, match="DICOM can be written of DICOM only"):
        copied(tmp_path / "in.png", tmp_path / "out.dcm")
    assert not (tmp_path / "out.dcm").exists()


def test_the_extra_is_named_if_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in.dcm", picture(16, 1))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(SourceOpenError, match=r"streamdenoise\[dicom\]"):
        open_source(str(tmp_path / "in.dcm"), ReadOptions())
