"""Make the before/after images of the README from the sample clips."""

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from streamdenoise import Denoiser
from streamdenoise.frame import Frame
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.imaging.metrics import psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions

HERE = Path(__file__).parent


def read(path: Path, frames: int) -> list[Frame]:
    with open_source(str(path), ReadOptions(pix_fmt="yuv420p")) as source:
        return list(islice(source, frames))


def denoise(clip: list[Frame], model: str) -> list[Frame]:
    with Denoiser.load(model) as denoiser:
        return [clean for frame in clip for clean in denoiser.process(frame)]


def panel(frame: Frame, label: str, crop: tuple[slice, slice], zoom: int) -> np.ndarray:
    """A crop of a frame as BGR with a label in its corner."""
    image = frame_to_rgb(frame)[crop][..., ::-1]
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.7
    (width, height), _ = cv2.getTextSize(label, font, scale, 2)
    cv2.rectangle(image, (0, 0), (width + 20, height + 20), (0, 0, 0), -1)
    white = (255, 255, 255)
    cv2.putText(image, label, (10, height + 9), font, scale, white, 2, cv2.LINE_AA)
    return image


def write(path: Path, panels: list[np.ndarray]) -> None:
    line = np.full((panels[0].shape[0], 4, 3), 255, np.uint8)
    joined = [part for image in panels for part in (image, line)][:-1]
    if not cv2.imwrite(str(path), cv2.hconcat(joined)):
        raise SystemExit(f"cannot write {path}")
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE)
    parser.add_argument("--model", default="nano", help="for the night street")
    parser.add_argument("--awgn-model", default="nano-awgn", help="for added noise")
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()

    street = read(HERE / "night_street.mp4", options.frames)
    clean = denoise(street, options.model)
    crop = (slice(30, 390), slice(760, 1240))
    panels = [
        panel(street[-1], "before", crop, 1),
        panel(clean[-1], "after", crop, 1),
    ]
    write(options.output / "night_street.png", panels)

    reference = read(HERE / "cctv.mp4", options.frames)
    rng = np.random.default_rng(0)
    noisy = [add_gaussian_noise(frame, 30, rng) for frame in reference]
    denoised = denoise(noisy, options.awgn_model)
    before, after = psnr_y(reference, noisy), psnr_y(reference, denoised)
    print(f"PSNR-Y {before:.2f} -> {after:.2f} dB, mean of {len(reference)} frames")
    crop = (slice(0, 216), slice(150, 374))
    panels = [
        panel(noisy[-1], f"before {before:.1f} dB", crop, 2),
        panel(denoised[-1], f"after {after:.1f} dB", crop, 2),
        panel(reference[-1], "reference", crop, 2),
    ]
    write(options.output / "cctv.png", panels)


if __name__ == "__main__":
    main()
