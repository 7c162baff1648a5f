"""Denoise a camera or a video in an OpenCV loop, with a window or into a file."""

import argparse

import cv2

from streamdenoise import Denoiser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="camera number, file or URL")
    parser.add_argument("-o", "--output", help="also write an .mp4")
    parser.add_argument("--frames", type=int, help="stop after this many frames")
    parser.add_argument("--no-window", action="store_true")
    options = parser.parse_args()

    source = int(options.source) if options.source.isdigit() else options.source
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise SystemExit(f"cannot open {options.source}: give a camera, file or URL")
    writer, count = None, 0
    with Denoiser.load("nano") as denoiser:
        while options.frames is None or count < options.frames:
            ok, noisy = capture.read()
            if not ok:
                break
            clean = denoiser(noisy)  # BGR uint8 in, BGR uint8 out
            count += 1
            if options.output:
                if writer is None:
                    height, width = clean.shape[:2]
                    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
                    rate = capture.get(cv2.CAP_PROP_FPS) or 30
                    writer = cv2.VideoWriter(
                        options.output, fourcc, rate, (width, height)
                    )
                writer.write(clean)
            if not options.no_window:
                cv2.imshow("before | after (q quits)", cv2.hconcat([noisy, clean]))
                if cv2.waitKey(1) == ord("q"):
                    break
        backend = denoiser.backend
    capture.release()
    if writer is not None:
        writer.release()
    print(f"{count} frames, backend {backend}")


if __name__ == "__main__":
    main()
