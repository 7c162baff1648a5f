"""The noise profile that is estimated from a stream."""

from collections.abc import Iterable
from itertools import islice, pairwise

import av
import cv2
import numpy as np
import pytest

from streamdenoise.imaging.noise_profile import LEVELS, measured_profile
from streamdenoise.imaging.profile_estimator import ProfileEstimator, profile_of_clip
from streamdenoise.io.ffmpeg.codec_round_trip import BitRate, codec_round_trip

HEIGHT, WIDTH = 240, 320
Planes = tuple[np.ndarray, ...]


def smooth(rng: np.random.Generator, sigma: float, size: tuple[int, int]) -> np.ndarray:
    """Smooth noise of std 1."""
    white = rng.standard_normal(size, np.float32)
    blurred = cv2.GaussianBlur(white, (0, 0), sigma)
    return blurred / blurred.std()


def scene(
    shift: float = 0, texture: float = 10, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> np.ndarray:
    """Shading, and texture on a third of it, moved to the left by `shift` pixels."""
    rng = np.random.default_rng(1)
    wide = (size[0], size[1] + 160)
    shading = smooth(rng, 8, wide)
    whole = 120 + 25 * shading + texture * smooth(rng, 1.2, wide) * (shading > 0.4)
    matrix = np.array([[1, 0, -shift], [0, 1, 0]], np.float32)
    return cv2.warpAffine(whole, matrix, size[::-1], flags=cv2.INTER_CUBIC)


def quantized(plane: np.ndarray, peak: int = 255) -> np.ndarray:
    return plane.round().clip(0, peak).astype(np.uint8 if peak == 255 else np.uint16)


def clean_clip(frames: int, speed: float = 1.3, texture: float = 10) -> list[Planes]:
    """Planes of yuv420, neutral in color, float."""
    half = np.full((HEIGHT // 2, WIDTH // 2), 128, np.float32)
    return [(scene(speed * t, texture), half, half) for t in range(frames)]


def noisy_clip(
    clean: list[Planes], stds: tuple[float, ...], blur: float = 0, seed: int = 0
) -> list[Planes]:
    """Add Gaussian noise, white or smooth, to each plane of float frames."""
    rng = np.random.default_rng(seed)

    def noise(shape: tuple[int, int]) -> np.ndarray:
        return smooth(rng, blur, shape) if blur else rng.standard_normal(shape)

    return [
        tuple(
            quantized(plane + std * noise(plane.shape))
            for plane, std in zip(planes, stds, strict=True)
        )
        for planes in clean
    ]


def truth(noisy: list[Planes], clean: list[Planes]) -> np.ndarray:
    """Levels of the noise in 8-bit levels."""
    pairs = zip(zip(*noisy, strict=True), zip(*clean, strict=True), strict=True)
    return measured_profile([np.subtract(a, b, dtype=np.float32) for a, b in pairs])


def estimate(
    frames: Iterable[Planes], peak: int = 255, single_images: bool = False
) -> np.ndarray:
    """The estimate after the last frame in 8-bit levels."""
    estimator = ProfileEstimator(single_images)
    return 255 * [estimator.update(planes, peak) for planes in frames][-1]


@pytest.mark.parametrize("sigma", [5, 10, 30, 50])
@pytest.mark.parametrize("speed", [0, 1.3])
def test_white_noise_at_all_scales(sigma: float, speed: float) -> None:
    clean = clean_clip(8, speed)
    noisy = noisy_clip(clean, (sigma, 0.5 * sigma, 0.6 * sigma))
    assert estimate(noisy) == pytest.approx(truth(noisy, clean), rel=0.1)


@pytest.mark.parametrize("blur", [0.7, 1.2])
def test_smooth_noise_at_all_scales(blur: float) -> None:
    clean = clean_clip(8)
    noisy = noisy_clip(clean, (6, 4, 4), blur)
    assert estimate(noisy) == pytest.approx(truth(noisy, clean), rel=0.2, abs=0.25)


def test_the_noise_of_enlarged_footage() -> None:
    rng = np.random.default_rng(0)
    clean = clean_clip(8)
    noisy = []
    for planes in clean:
        sizes = [(plane.shape[1] // 2, plane.shape[0] // 2) for plane in planes]
        small = [rng.normal(0, 5, size[::-1]) for size in sizes]
        large = [
            cv2.resize(x, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            for x in small
        ]
        noisy.append(
            tuple(quantized(a + b) for a, b in zip(planes, large, strict=True))
        )
    assert estimate(noisy) == pytest.approx(truth(noisy, clean), rel=0.15)


@pytest.mark.parametrize("speed", [0, 1.3, 5.4])
def test_moving_texture_is_not_noise(speed: float) -> None:
    frames = noisy_clip(clean_clip(8, speed, 25), (0, 0, 0))
    assert max(estimate(frames)) < 0.6
    # White noise of half a level is there to keep still frames from being repeated.
    frames = noisy_clip(clean_clip(8, speed, 25), (0.5, 0, 0))
    assert max(estimate(frames)[:3]) < 1.0


def foliage(frames: int, wind: float) -> list[Planes]:
    """Planes of yuv420, float: texture everywhere, more in some places, in a pan; the
    wind moves it by this many pixels more."""
    rng = np.random.default_rng(1)
    size = (2 * HEIGHT, 2 * WIDTH)
    texture = smooth(rng, 1.5, size) + smooth(rng, 4, size)
    fine = (120 + 20 * np.exp(smooth(rng, 30, size)) * texture).clip(20, 230)
    half = np.full((HEIGHT // 2, WIDTH // 2), 128, np.float32)
    mode = cv2.INTER_CUBIC | cv2.WARP_RELATIVE_MAP
    clip = []
    for t in range(frames):
        across, down = (2 * wind * smooth(rng, 15, size) for _ in range(2))
        flow = np.dstack([across + 3 * t, down])
        border = cv2.BORDER_REFLECT
        # OpenCV's type stubs do not know that both coordinates can be in one map.
        moved = cv2.remap(fine, flow, None, mode, None, border)  # pyright: ignore
        luma = cv2.resize(moved, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        clip.append((luma, half, half))
    return clip


def test_texture_that_nothing_can_align_is_not_noise() -> None:
    assert max(estimate(noisy_clip(foliage(8, 0.5), (0, 0, 0)))) < 0.6


@pytest.mark.parametrize(("wind", "sigma", "within"), [(0.25, 5, 0.1), (0.5, 10, 0.2)])
def test_white_noise_on_texture(wind: float, sigma: float, within: float) -> None:
    clean = foliage(8, wind)
    noisy = noisy_clip(clean, (sigma, 0, 0))
    assert estimate(noisy)[:3] == pytest.approx(truth(noisy, clean)[:3], rel=within)


@pytest.mark.parametrize("sigma", [0.5, 4])
def test_a_crowd_before_a_camera_that_stands_is_not_noise(sigma: float) -> None:
    """No motion explains what changes in most of the frame."""
    rng = np.random.default_rng(2)
    base, half = scene(texture=0), np.full((HEIGHT // 2, WIDTH // 2), 128, np.float32)
    clean = []
    for _ in range(48):
        luma = base.copy()
        luma[:, 136:] += 15 * smooth(rng, 2, (HEIGHT, WIDTH - 136))
        clean.append((luma, half, half))
    found = estimate(noisy_clip(clean, (sigma, 0, 0)))[:3]
    assert found == pytest.approx([sigma] * 3, rel=0.2, abs=1)


def coded(frames: list[np.ndarray], quality: int | BitRate) -> list[Planes]:
    """Luma of a neutral color, through H.264."""
    flat = np.full((len(frames), HEIGHT // 2, WIDTH), 128, np.uint8)
    whole = np.concatenate([np.stack(frames), flat], 1)
    decoded = codec_round_trip(whole, "h264", quality)
    return [(each[:HEIGHT].copy(), flat[0], flat[0]) for each in decoded]


def test_noise_that_a_codec_freezes_in_part_is_still_seen_after_a_second() -> None:
    rng = np.random.default_rng(0)
    frames = [quantized(scene() + rng.normal(0, 3, (HEIGHT, WIDTH))) for _ in range(84)]
    assert estimate(coded(frames, BitRate(1_000_000)))[1] > 2


def test_the_least_of_what_single_frames_say_counts() -> None:
    """The codec has copied nearly all of each frame, so time tells nothing."""
    still = quantized(leaves((HEIGHT, WIDTH)))
    still[: HEIGHT // 3] = 120
    frames = [still.copy() for _ in range(24)]
    for t, plane in enumerate(frames):
        plane[HEIGHT // 2 : HEIGHT // 2 + 16, 8 * t : 8 * t + 16] = 200
    estimator = ProfileEstimator()
    found = [max(estimator.update((plane,), 255)) for plane in frames]
    assert all(after <= before for before, after in pairwise(found))


@pytest.mark.parametrize("size", ["640x360", "640x480", "1280x720"])
def test_a_test_pattern_is_not_noise(size: str) -> None:
    estimator = ProfileEstimator()
    with av.open(f"testsrc2=size={size}", format="lavfi") as pattern:
        for frame in islice(pattern.decode(video=0), 40):
            height, width = frame.height, frame.width
            whole = frame.to_ndarray(format="yuv420p")
            colors = whole[height:].reshape(2, height // 2, width // 2)
            found = estimator.update((whole[:height], *colors), 255)
            assert max(found) * 255 < 0.5


@pytest.mark.parametrize("length", [1, 3, 8])
def test_a_short_clip_at_once(length: int) -> None:
    frames = noisy_clip(clean_clip(length), (8, 4, 5))
    expected = pytest.approx(estimate(frames), rel=0.1)
    assert 255 * profile_of_clip(frames, 255) == expected


def test_no_clip() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        profile_of_clip([], 255)


def test_space_alone_sees_white_noise() -> None:
    clean = clean_clip(1)
    noisy = noisy_clip(clean, (10, 5, 6))
    found, true = estimate(noisy), truth(noisy, clean)
    fine = [level for level, (_, scale) in enumerate(LEVELS) if scale < 4]
    assert found[fine] == pytest.approx(true[fine], rel=0.15)
    # Texture looks like coarse noise.
    assert 0.9 * true[2] < found[2] < 2.01 * found[1]


def test_space_alone_sees_the_coarse_noise_of_cameras() -> None:
    clean = clean_clip(1, texture=0)
    noisy = noisy_clip(clean, (8, 4, 4), blur=0.8)
    found, true = estimate(noisy, single_images=True), truth(noisy, clean)
    assert true[1] > 2.5 * true[0]
    assert found == pytest.approx(true, rel=0.3)
    # The second frame of a stream will tell; until then it may as well be print.
    assert estimate(noisy)[1] < 1.6 * true[0]


def leaves(size: tuple[int, int]) -> np.ndarray:
    """Texture everywhere, of every strength: no place is flat, ``(H, W)``."""
    rng = np.random.default_rng(1)
    texture = smooth(rng, 1, size) + smooth(rng, 3, size)
    return 120 + 12 * np.exp(0.5 * smooth(rng, 40, size)) * texture


@pytest.mark.parametrize("single_images", [False, True])
def test_texture_in_all_of_an_image_is_not_noise(single_images: bool) -> None:
    frames = [(quantized(leaves((2 * HEIGHT, 2 * WIDTH))),)]
    assert max(estimate(frames, single_images=single_images)) < 0.1


@pytest.mark.parametrize(("quality", "least"), [(0, 0.8), (75, 0.5)])
def test_noise_of_images_that_depends_on_the_brightness(
    quality: int, least: float
) -> None:
    """Shot noise of coarse grain, some of it compressed, beside texture."""
    size = (2 * HEIGHT, 2 * WIDTH)
    rng = np.random.default_rng(0)
    image = np.repeat(np.linspace(40, 220, size[1])[None], size[0], 0)
    image[: size[0] // 3] += leaves(size)[: size[0] // 3] - 120
    noise = 0.5 * np.sqrt(image.clip(1)) * smooth(rng, 0.6, size)
    noisy = quantized(image + noise)
    if quality:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        data = cv2.imencode(".jpg", noisy, options)[1]
        noisy = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        assert noisy is not None
    found = estimate([(noisy,)], single_images=True)[:3]
    true = [255 * x for x in measured_profile([noise[None] / 255] * 3)[:3]]
    share = found[1:] / true[1:]
    assert (least < share).all()
    assert (share < 1.2).all()


def test_noise_that_grows_with_the_brightness_is_that_of_a_typical_place() -> None:
    rng = np.random.default_rng(0)
    ramp = np.repeat(np.linspace(20, 230, WIDTH)[None], HEIGHT, 0)
    clean = [(ramp,)] * 8
    std = np.sqrt(0.8 * (ramp - 16))
    noisy = [(quantized(ramp + std * rng.standard_normal(ramp.shape)),) for _ in clean]
    found = estimate(noisy)[:3]
    noise = [np.subtract(a[0], ramp, dtype=np.float32) for a in noisy]
    assert found == pytest.approx(
        [255 * x for x in measured_profile([np.array(noise) / 255] * 3)[:3]], rel=0.2
    )


def test_gray_footage_has_no_chroma_noise() -> None:
    noisy = noisy_clip(clean_clip(8), (8, 0, 0))
    found = estimate(noisy)
    assert found[:3] == pytest.approx([8] * 3, rel=0.1)
    assert not found[3:].any()
    alone = estimate([planes[:1] for planes in noisy])
    assert alone == pytest.approx(found, rel=0.02)


def test_rgb_counts_as_luma_and_color_differences() -> None:
    rng = np.random.default_rng(0)
    frames = [
        (quantized(scene(1.3 * t)[..., None] + rng.normal(0, 8, (HEIGHT, WIDTH, 3))),)
        for t in range(8)
    ]
    assert estimate(frames) == pytest.approx([8] * 7, rel=0.1)
    gray = [(np.repeat(planes[0][..., :1], 3, 2),) for planes in frames]
    found = estimate(gray)
    assert found[:3] == pytest.approx([8 * 3**0.5] * 3, rel=0.1)
    assert found[3:] == pytest.approx([0] * 4, abs=0.01)


@pytest.mark.parametrize("peak", [1023, 65535])
def test_more_bits(peak: int) -> None:
    rng = np.random.default_rng(0)
    noisy = [scene(t) + rng.normal(0, 5, (HEIGHT, WIDTH)) for t in range(8)]
    frames = [(quantized(peak / 255 * plane, peak),) for plane in noisy]
    assert estimate(frames, peak)[:3] == pytest.approx([5] * 3, rel=0.1)


@pytest.mark.parametrize(("black", "white"), [(16, 235), (0, 255)])
def test_limits_are_the_same_at_ten_bits(black: int, white: int) -> None:
    rng = np.random.default_rng(0)
    levels = np.full((HEIGHT, WIDTH), 128.0)
    levels[:, : WIDTH // 3], levels[:, -WIDTH // 3 :] = black - 8, white + 8
    found = []
    for unit, peak in ((1, 255), (4, 1023)):
        top = peak if white == 255 else white * unit
        estimator = ProfileEstimator()
        for _ in range(8):
            noisy = unit * (levels + rng.normal(0, 10, levels.shape))
            plane = quantized(noisy.clip(black * unit, top), peak)
            flat = np.full((HEIGHT // 2, WIDTH // 2), (peak + 1) // 2, plane.dtype)
            last = estimator.update((plane, flat, flat), peak, white == 255)
        found.append(255 * float(last[0]))
    assert found == pytest.approx([10, 10], rel=0.1)


def page(offset: int = 0, paper: int = 255, ink: int = 0) -> np.ndarray:
    """A page of text, ``(H, W)``, scrolled by `offset` lines of pixels."""
    whole = np.full((HEIGHT + 200, WIDTH), paper, np.uint8)
    words = "the quick brown fox jumps over the lazy dog"
    for row in range(0, len(whole), 20):
        at = (5, row + 14)
        cv2.putText(whole, words, at, cv2.FONT_HERSHEY_COMPLEX, 0.45, ink, 1, 16)
    return whole[offset : offset + HEIGHT].copy()


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (235, 16), (190, 20)])
@pytest.mark.parametrize("speed", [0, 3])
def test_text_is_not_noise(paper: int, ink: int, speed: int) -> None:
    frames = [(page(speed * t, paper, ink),) for t in range(8)]
    estimator = ProfileEstimator()
    for frame in frames:
        assert max(estimator.update(frame, 255)) * 255 < 0.5


def test_a_cursor_on_a_page_is_not_noise() -> None:
    frames = [(page(),) for _ in range(10)]
    for t, (plane,) in enumerate(frames):
        plane[100:112, 20 * t : 20 * t + 3] = 0
    assert max(estimate(frames)) < 0.5


def test_text_over_noise_and_black_bars_do_not_hide_the_noise() -> None:
    frames = noisy_clip(clean_clip(8), (8, 0, 0))
    for plane, *_ in frames:
        plane[:40] = plane[-40:] = 16
        cv2.putText(plane, "NEWS", (60, 180), cv2.FONT_HERSHEY_COMPLEX, 1.5, 235, 3)
    assert estimate(frames)[:3] == pytest.approx([8] * 3, rel=0.15)


def test_clipping_does_not_mislead() -> None:
    rng = np.random.default_rng(0)
    levels = np.repeat(np.linspace(0, 255, WIDTH)[None], HEIGHT, 0)
    frames = [(quantized(levels + rng.normal(0, 50, levels.shape)),) for _ in range(8)]
    noise = np.array([np.subtract(a[0], levels, dtype=np.float32) for a in frames])
    # The level that clipping leaves in the mean, up to the one that was there.
    mean = measured_profile([noise] * 3)[0]
    assert 0.95 * mean < estimate(frames)[0] < 52


def test_repeated_frames_tell_nothing() -> None:
    frames = noisy_clip(clean_clip(16), (8, 4, 4))
    expected = estimate(frames)
    assert estimate(f for f in frames for _ in range(2)) == pytest.approx(expected)
    telecine = [f for t, f in enumerate(frames) for _ in range(2 + t % 2)]
    assert estimate(telecine) == pytest.approx(expected, rel=0.05)
    assert estimate([*frames, *[frames[-1]] * 60]) == pytest.approx(expected)


def test_blocks_that_a_codec_copied_are_left_out() -> None:
    frames = noisy_clip(clean_clip(8, 0), (8, 0, 0))
    for t, (plane, *_) in enumerate(frames[1:]):
        plane[:, : WIDTH // 2] = frames[0][0][:, : WIDTH // 2]
        # The frame is a new one.
        plane[:16, :16] = t
    # Of some cells a part was copied.
    assert estimate(frames)[:3] == pytest.approx([8] * 3, rel=0.2)


@pytest.mark.parametrize(("kept", "length"), [(0.7, 24), (0.9, 60)])
def test_frozen_noise_is_seen_at_the_longest_lag(kept: float, length: int) -> None:
    """Of a recursive filter, as in cameras, that keeps most of the last noise."""
    rng = np.random.default_rng(0)
    base, noise, frames = scene(), np.zeros((HEIGHT, WIDTH)), []
    for t in range(length):
        new = rng.normal(0, 8, noise.shape)
        noise = new if t == 0 else kept * noise + (1 - kept**2) ** 0.5 * new
        frames.append((quantized(base + noise),))
    assert estimate(frames)[:3] == pytest.approx([7.5] * 3, rel=0.15)


def test_a_pan_after_standing_is_not_noise() -> None:
    still = noisy_clip(clean_clip(44, 0, 25), (0.5, 0, 0))
    frames = still + noisy_clip(clean_clip(80, 0.7, 25), (0.5, 0, 0))
    estimator = ProfileEstimator()
    assert max(255 * max(estimator.update(planes, 255)[:3]) for planes in frames) < 1.0


def test_from_day_to_night_in_small_steps() -> None:
    rng = np.random.default_rng(0)
    base, half = scene(), np.full((HEIGHT // 2, WIDTH // 2), 128)
    estimator, seen = ProfileEstimator(), []
    for t in range(120):
        sigma = 4 + 4 * min(1, max(0, t - 20) / 50)
        planes = tuple(
            quantized(plane + rng.normal(0, std, plane.shape))
            for plane, std in ((base, sigma), (half, sigma), (half, sigma))
        )
        seen.append(255 * estimator.update(planes, 255))
    steps = np.abs(np.diff(seen[8:], axis=0)) / seen[8:-1]
    assert steps.max() < 0.02
    # Followed within two seconds, at 25 frames per second, after the change has ended.
    assert seen[-1] == pytest.approx([8] * 7, rel=0.1)


def test_reset_forgets() -> None:
    estimator = ProfileEstimator()
    for planes in noisy_clip(clean_clip(12), (20, 10, 10)):
        estimator.update(planes, 255)
    estimator.reset()
    clean = noisy_clip(clean_clip(2), (3, 2, 2))
    assert 255 * estimator.update(clean[0], 255)[0] == pytest.approx(3, rel=0.15)
    # So does a stream of another size.
    other = tuple(plane[:100, :100] for plane in noisy_clip(clean, (20, 9, 9))[0])
    assert 255 * estimator.update(other, 255)[0] == pytest.approx(20, rel=0.15)


def frame_of(kind: str, shape: tuple[int, int], t: int) -> np.ndarray:
    """A degenerate plane in 8-bit levels."""
    rng = np.random.default_rng(t)
    height, width = shape
    rows, columns = np.indices(shape)
    dark = rng.integers(12, 16, (height, width))
    dark[: height // 3, : width // 2] = 200
    point, half = np.zeros((2, height, width))
    point[height // 2, width // 2] = 255
    half[:, width // 2 :] = rng.normal(128, 20, (height, width - width // 2))
    return {
        "black": np.zeros((height, width)),
        "gray": np.full((height, width), 100),
        "white": np.full((height, width), 255),
        "checkers": 255 * ((rows + columns) % 2),
        "moving checkers": 255 * ((rows // 8 + columns // 8 + t) % 2),
        "dark with a patch": dark,
        "point": point,
        "half black": half,
        "bytes": rng.integers(0, 256, (height, width)),
        "ramp": columns * 255 / max(1, width - 1),
        "flashes": np.full((height, width), 255 * (t % 2)),
        "bits": 255 * rng.integers(0, 2, (height, width)),
        "rows": np.repeat(rng.normal(128, 20, (height, 1)), width, 1),
    }[kind].clip(0, 255)


KINDS = (
    "black",
    "gray",
    "white",
    "checkers",
    "moving checkers",
    "dark with a patch",
    "point",
    "half black",
    "bytes",
    "ramp",
    "flashes",
    "bits",
    "rows",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 90), (90, 1), (7, 9), (47, 49), (65, 97)]
)
def test_degenerate_frames(kind: str, shape: tuple[int, int]) -> None:
    half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    estimators = {name: ProfileEstimator() for name in ("gray", "yuv", "rgb", "10 bit")}
    for t in range(3):
        plane, chroma = (quantized(frame_of(kind, s, t)) for s in (shape, half))
        deep = quantized(frame_of(kind, shape, t) * 1023 / 255, 1023)
        planes = {
            "gray": (plane,),
            "yuv": (plane, chroma, chroma),
            "rgb": (np.dstack([plane, plane[::-1], plane]),),
            "10 bit": (deep,),
        }
        for name, estimator in estimators.items():
            peak = 1023 if name == "10 bit" else 255
            found = estimator.update(planes[name], peak)
            assert found.shape == (7,)
            assert found.dtype == np.float32
            assert ((found >= 0) & (found <= 1)).all()
