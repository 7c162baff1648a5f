"""The job of images: which file becomes which, and what is measured."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import ConfigError, SinkError, SourceOpenError
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.imaging.error_image import ERROR_GAIN
from streamdenoise.jobs.config import FileConfig, ImageConfig, PagesAs, View
from streamdenoise.jobs.image_plan import plan_images
from streamdenoise.jobs.images import denoise_images
from streamdenoise.jobs.offline import denoise_file
from tests.support.clips import Clip
from tests.support.pictures import icc_profile, opened, picture, saved

FAST = DenoiseConfig(backend="openvino")


def put(path: Path, samples: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(saved(picture() if samples is None else samples, path.suffix[1:]))
    return path


def noisy(shift: int = 0, depth: int = 8) -> np.ndarray:
    peak = (1 << depth) - 1
    clean = np.roll(picture(depth, 3, 96, 80), shift, 1)
    noise = np.random.default_rng(shift).normal(0, 0.08 * peak, clean.shape)
    return np.rint(clean + noise).clip(0, peak).astype(clean.dtype)


def targets(tmp_path: Path, *sources: Path, output: str = "out/", **more: object):
    config = ImageConfig(
        tuple(map(str, sources)), str(tmp_path / output) + "/" * output.endswith("/"),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip
    tasks, notes = plan_images(config)
    return [str(Path(each.target).relative_to(tmp_path)) for each in tasks], notes


def test_two_inputs_with_one_output_are_refused_before_any_work(
    tmp_path: Path,
) -> None:
    first, second = put(tmp_path / "a" / "1.png"), put(tmp_path / "b" / "1.png")
    config = ImageConfig((str(first), str(second)), f"{tmp_path}/out/", overwrite=True)
    with pytest.raises(ConfigError) as caught:
        denoise_images(config)
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="would both become"):
        targets(tmp_path, tmp_path / "a", tmp_path / "b")


def test_an_existing_output_is_found_before_any_work(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.png")
    put(tmp_path / "in" / "b.png")
    put(tmp_path / "out" / "b.png")
    with pytest.raises(SinkError, match="already exists"):
        targets(tmp_path, tmp_path / "in")
    assert not (tmp_path / "out" / "a.png").exists()


def test_a_missing_input_is_found_before_any_work(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    with pytest.raises(SourceOpenError, match="no such file"):
        targets(tmp_path, tmp_path / "a.png", tmp_path / "b.png")
    assert not (tmp_path / "out").exists()


def test_folders_are_kept_if_asked_for(tmp_path: Path) -> None:
    for name in ("top.png", "x/a.jpg", "x/y/b2.png", "x/y/b10.png", "z/a.jpg"):
        put(tmp_path / "in" / name)
    names, notes = targets(tmp_path, tmp_path / "in")
    assert names == ["out/top.png"]
    assert notes == [
        f"{tmp_path}/in: 4 images in folders below are left out; add --recursive for "
        "them"
    ]
    names, notes = targets(tmp_path, tmp_path / "in", recursive=True)
    assert names == [
        *("out/top.png", "out/x/a.jpg", "out/x/y/b2.png", "out/x/y/b10.png"),
        "out/z/a.jpg",
    ]
    assert notes == []


def test_results_in_the_input_folder_are_not_taken_again(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.png")
    put(tmp_path / "in" / "out" / "a.png")
    names, _ = targets(
        tmp_path, tmp_path / "in", output="in/out/", recursive=True, overwrite=True
    )
    assert names == ["in/out/a.png"]


def test_a_sequence_keeps_its_numbers(tmp_path: Path) -> None:
    for number in (7, 8, 10):
        put(tmp_path / f"img_{number:04}.png")
    pattern = tmp_path / "img_%04d.png"
    names, notes = targets(tmp_path, pattern, output="clean_%03d.png")
    assert names == ["clean_007.png", "clean_008.png", "clean_010.png"]
    assert "there is no number 9" in notes[0]
    assert targets(tmp_path, pattern)[0][0] == "out/img_0007.png"


def test_one_file_for_several_images_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.png")
    for output in ("x.png", "x.mp4"):
        with pytest.raises(ConfigError, match="give a folder"):
            targets(tmp_path, tmp_path / "in", output=output)


def test_formats_that_are_only_read_become_png(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.ppm")
    put(tmp_path / "b.jpg")
    names, _ = targets(tmp_path, tmp_path / "a.ppm", tmp_path / "b.jpg")
    assert names == ["out/a.png", "out/b.jpg"]
    with pytest.raises(ConfigError, match=r"\.heic cannot be written; use one of"):
        targets(tmp_path, tmp_path / "b.jpg", output="out.heic")
    config = ImageConfig((str(tmp_path / "a.ppm"),), f"{tmp_path}/made/", FAST)
    denoise_images(config)
    assert opened(tmp_path / "made" / "a.png").size == (48, 32)


def test_pages_need_an_output_that_holds_them(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.stack([picture()] * 3), photometric="rgb")
    target = tmp_path / "out.jpg"
    with pytest.raises(ConfigError, match=r"has 3 pictures, but .* holds one"):
        denoise_images(ImageConfig((str(path),), str(target), FAST))
    assert not target.exists()
    config = ImageConfig((str(path),), str(tmp_path / "p_%02d.jpg"), FAST)
    assert denoise_images(config).frames_out == 3
    assert sorted(each.name for each in tmp_path.glob("p_*")) == [
        *("p_00.jpg", "p_01.jpg", "p_02.jpg")
    ]


def test_an_animation_gains_from_its_past(tmp_path: Path) -> None:
    still = picture(8, 3, 96, 80)
    noise = np.random.default_rng(0)
    frames = [
        Image.fromarray(
            np.rint(still + noise.normal(0, 20, still.shape))
            .clip(0, 255)
            .astype(np.uint8)
        )
        for _ in range(8)
    ]
    path = tmp_path / "in.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=500)
    errors = {}
    for pages_as in (PagesAs.AUTO, PagesAs.IMAGE):
        target = tmp_path / f"{pages_as}.png"
        config = ImageConfig((str(path),), str(target), FAST, pages_as=pages_as)
        assert denoise_images(config).frames_out == 8
        out = opened(target)
        out.seek(7)
        assert out.info["duration"] == 500
        errors[pages_as] = np.square(np.asarray(out) - still.astype(float)).mean()
    assert errors[PagesAs.AUTO] < 0.7 * errors[PagesAs.IMAGE]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_images_of_16_bits_are_denoised_in_them(tmp_path: Path, suffix: str) -> None:
    clean, samples = picture(16, 3, 96, 80), noisy(depth=16)
    path, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    assert cv2.imwrite(str(path), samples[..., ::-1])
    denoise_images(ImageConfig((str(path),), str(target), FAST))
    found = cv2.imread(str(target), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert found.dtype == np.uint16
    before, after = (
        np.square(each.astype(float) - clean).mean()
        for each in (samples, found[..., ::-1])
    )
    assert after < 0.3 * before
    assert len(np.unique(found)) > 4096


def test_added_noise_is_measured(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.png", picture(8, 3, 96, 80))
    put(tmp_path / "in" / "b.png", picture(8, 1, 96, 80))
    config = ImageConfig(
        (str(tmp_path / "in"),), str(tmp_path / "out"), FAST, add_noise=AddedNoise(20.0)
    )
    stats = denoise_images(config)
    assert not stats.psnr_is_estimate
    assert stats.psnr_in_db == pytest.approx(22.2, abs=0.6)
    assert (stats.psnr_out_db or 0) > 27
    assert opened(tmp_path / "out" / "b.png").mode == "L"


def test_scores_are_those_of_what_is_written(tmp_path: Path) -> None:
    """The four parts of the grid, measured again."""
    put(tmp_path / "in.png", picture(8, 3, 96, 80))
    config = ImageConfig(
        (str(tmp_path / "in.png"),), str(tmp_path / "grid.png"), FAST,
        add_noise=AddedNoise(20.0), compare=View.GRID,
    )  # fmt: skip
    scores = denoise_images(config).scores
    assert scores is not None
    grid = np.asarray(opened(tmp_path / "grid.png")).astype(float)
    assert grid.shape == (160, 192, 3)
    # Without the labels at the bottom and the line in the middle.
    original, noisy, denoised, error = (
        grid[top : top + 56, left : left + 90] for top in (0, 80) for left in (2, 98)
    )
    np.testing.assert_array_equal(original, picture(8, 3, 96, 80)[:56, 2:92])
    for image, score in ((noisy, scores.before), (denoised, scores.after)):
        assert np.square(image - original).mean() == pytest.approx(score.mse, rel=0.2)
        assert score.psnr_db == pytest.approx(10 * np.log10(255**2 / score.mse))
    expected = (128 + ERROR_GAIN * (denoised - original)).clip(0, 255)
    np.testing.assert_array_equal(error, expected)
    assert (scores.before.ssim or 1) < (scores.after.ssim or 0) < 1


def test_noise_and_a_reference_are_used_together(tmp_path: Path) -> None:
    put(tmp_path / "in.png", noisy())
    put(tmp_path / "clean.png", picture(8, 3, 96, 80))
    source, clean = str(tmp_path / "in.png"), str(tmp_path / "clean.png")

    def before(**more: object) -> float:
        config = ImageConfig((source,), "null:", FAST, **more)  # type: ignore[arg-type]
        scores = denoise_images(config).scores
        assert scores is not None
        return scores.before.mse

    noise = AddedNoise(20.0)
    sums = before(reference=clean) + before(add_noise=noise)
    assert before(reference=clean, add_noise=noise) == pytest.approx(sums, rel=0.15)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_images_are_scaled_and_made_gray_first(
    tmp_path: Path, suffix: str, depth: int
) -> None:
    samples = noisy(depth=depth)
    if depth == 16:
        tifffile.imwrite(tmp_path / "in.tif", samples)
    else:
        (tmp_path / "in.tif").write_bytes(
            saved(samples, "tif", icc_profile=icc_profile())
        )
    target = tmp_path / f"out.{suffix}"
    config = ImageConfig(
        (str(tmp_path / "in.tif"),), str(target), FAST, scale=(48, 40), gray=True,
        add_noise=AddedNoise(10.0), compare=View.GRID,
    )  # fmt: skip
    stats = denoise_images(config)
    lost = [each for each in stats.notes if "cannot be kept" in each]
    assert (len(lost), "color profile" in "".join(lost)) == (depth == 8, depth == 8)
    image = opened(target)
    assert image.size == (96, 80)
    assert "icc_profile" not in image.info
    small = cv2.resize(
        cv2.cvtColor(samples, cv2.COLOR_RGB2GRAY),
        (48, 40),
        interpolation=cv2.INTER_AREA,
    )
    found = np.asarray(image)
    assert found.dtype == (np.uint8 if depth == 8 else np.uint16)
    np.testing.assert_array_equal(found[:18, :46], small[:18, :46])


def test_transparency_is_scaled_along_and_folders_keep_their_names(
    tmp_path: Path,
) -> None:
    put(tmp_path / "in" / "a.png", picture(8, 4, 96, 80))
    put(tmp_path / "in" / "b.jpg", picture(8, 3, 31, 200))
    config = ImageConfig(
        (str(tmp_path / "in"),), str(tmp_path / "out"), FAST, scale=(64, 32)
    )
    denoise_images(config)
    assert opened(tmp_path / "out" / "a.png").size == (64, 32)
    assert opened(tmp_path / "out" / "a.png").mode == "RGBA"
    assert opened(tmp_path / "out" / "b.jpg").size == (64, 32)


def test_references_are_found_by_name(tmp_path: Path) -> None:
    for name, shift in (("a.png", 0), ("x/b.png", 9)):
        put(tmp_path / "in" / name, noisy(shift))
        put(tmp_path / "clean" / name, np.roll(picture(8, 3, 96, 80), shift, 1))
    sources, clean = (str(tmp_path / "in"),), str(tmp_path / "clean")
    config = ImageConfig(
        sources, str(tmp_path / "out"), FAST, recursive=True, reference=clean
    )
    stats = denoise_images(config)
    assert stats.psnr_in_db is not None
    assert stats.psnr_out_db is not None
    assert stats.psnr_out_db > stats.psnr_in_db + 3
    (tmp_path / "clean" / "x" / "b.png").unlink()
    again = ImageConfig(
        sources, f"{tmp_path}/2/", FAST, recursive=True, reference=clean
    )
    with pytest.raises(ConfigError, match="has no x/b"):
        denoise_images(again)


def test_a_reference_of_another_kind_is_converted(tmp_path: Path) -> None:
    put(tmp_path / "in.png", noisy()[..., 0])
    put(tmp_path / "clean.png", np.stack([picture(8, 1, 96, 80)] * 3, -1))
    config = ImageConfig(
        (str(tmp_path / "in.png"),),
        str(tmp_path / "out.png"),
        FAST,
        reference=str(tmp_path / "clean.png"),
    )
    stats = denoise_images(config)
    assert not stats.psnr_is_estimate
    assert (stats.psnr_in_db or 0) > 10


def test_before_and_after_side_by_side(tmp_path: Path) -> None:
    put(tmp_path / "in.png", np.dstack([noisy(), np.full((80, 96), 200, np.uint8)]))
    target = tmp_path / "out.png"
    config = ImageConfig(
        (str(tmp_path / "in.png"),), str(target), FAST, compare=View.SIDE
    )
    denoise_images(config)
    assert opened(target).size == (192, 80)


def test_unreadable_images_of_a_folder_are_left_out(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    config = ImageConfig((str(tmp_path / "in"),), str(tmp_path / "out"), FAST)
    stats = denoise_images(config)
    assert stats.frames_out == 1
    assert any("left out" in note and "b.png" in note for note in stats.notes)
    (tmp_path / "in" / "a.png").unlink()
    with pytest.raises(SourceOpenError, match="none of the 1 images"):
        denoise_images(config)


def test_a_video_in_a_folder_is_named_like_the_input(
    clip: Clip, tmp_path: Path
) -> None:
    folder = f"{tmp_path}/made/"
    config = FileConfig(str(clip.path), folder, FAST)
    assert Path(config.target) == Path(folder) / clip.path.name
    denoise_file(config)
    assert [each.name for each in Path(folder).iterdir()] == [clip.path.name]
    assert FileConfig("a/b.flv", folder).target == f"{tmp_path}/made/b.mkv"
    assert FileConfig("a/%03d.png", folder).target == f"{tmp_path}/made/%03d.png"
    for source in ("-", "testsrc:64x48@25", "http://host/a.mp4"):
        with pytest.raises(ConfigError, match="has no file name"):
            FileConfig(source, folder)


def test_a_sequence_of_16_bits_becomes_one(tmp_path: Path) -> None:
    for number in range(5, 9):
        path = tmp_path / f"{number:03}.png"
        assert cv2.imwrite(str(path), noisy(depth=16)[..., ::-1])
    config = FileConfig(str(tmp_path / "%03d.png"), f"{tmp_path}/out/%03d.png", FAST)
    denoise_file(config)
    names = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert names == ["005.png", "006.png", "007.png", "008.png"]
    found = cv2.imread(str(tmp_path / "out" / "008.png"), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert found.dtype == np.uint16


def test_notes_of_an_animated_output_are_not_lost(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(8, 3)) for _ in range(2)]
    frames[1].putpixel((0, 0), (1, 2, 3))
    path = tmp_path / "in.png"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=100, dpi=(72, 72)
    )
    stats = denoise_file(FileConfig(str(path), str(tmp_path / "out.gif"), FAST))
    assert any("cannot hold resolution" in note for note in stats.notes)
    assert opened(tmp_path / "out.gif").n_frames == 2


def test_levels_and_psnr_of_dicom_refer_to_its_bits(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from tests.io.test_dicom import write

    write(tmp_path / "in.dcm", picture(16, 1, 96, 80) // 32 + 1000, bits=12)
    target = tmp_path / "out.dcm"
    config = ImageConfig(
        (str(tmp_path / "in.dcm"),), str(target), FAST, add_noise=AddedNoise(5.0)
    )
    stats = denoise_images(config)
    assert stats.psnr_in_db == pytest.approx(34.15, abs=0.2)  # 255 / 5
    assert (stats.psnr_out_db or 0) > 39
    assert stats.sigma == pytest.approx(5, rel=0.2)
    assert pydicom.dcmread(target).BitsStored == 12
