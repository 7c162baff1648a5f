"""Denoise a file in a PyAV loop that keeps YUV planes, timestamps and color tags."""

import argparse
import time

import av
import numpy as np

from streamdenoise import Denoiser
from streamdenoise.frame import ColorInfo, Frame


def to_frame(decoded: av.VideoFrame, index: int) -> Frame:
    """The planes of an 8-bit yuv420p frame, without the padding of its lines."""
    planes = []
    for plane in decoded.planes:
        lines = np.frombuffer(memoryview(plane), np.uint8)
        lines = lines.reshape(plane.height, plane.line_size)
        planes.append(np.ascontiguousarray(lines[:, : plane.width]))
    assert decoded.pts is not None
    assert decoded.time_base is not None
    return Frame(
        planes=tuple(planes),
        pix_fmt="yuv420p",
        color=ColorInfo(matrix=decoded.colorspace, range=decoded.color_range),
        pts=decoded.pts,
        time_base=decoded.time_base,
        index=index,
        captured_at=time.monotonic(),
    )


def to_pyav(frame: Frame) -> av.VideoFrame:
    clean = av.VideoFrame(frame.width, frame.height, "yuv420p")
    for plane, samples in zip(clean.planes, frame.planes, strict=True):
        lines = np.zeros((plane.height, plane.line_size), np.uint8)
        lines[:, : plane.width] = samples
        plane.update(lines.tobytes())
    clean.pts, clean.time_base = frame.pts, frame.time_base
    clean.colorspace, clean.color_range = frame.color.matrix, frame.color.range
    return clean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("--frames", type=int, help="stop after this many frames")
    options = parser.parse_args()

    with (
        av.open(options.source, "r") as source,
        av.open(options.output, "w") as output,
        Denoiser.load("nano") as denoiser,
    ):
        video = source.streams.video[0]
        stream = output.add_stream("libx264", rate=video.average_rate or 25)
        stream.width, stream.height = video.width, video.height
        stream.pix_fmt = "yuv420p"
        encoder, decoder = stream.codec_context, video.codec_context
        if video.time_base is not None:
            encoder.time_base = video.time_base
        encoder.colorspace = decoder.colorspace
        encoder.color_range = decoder.color_range
        encoder.color_primaries = decoder.color_primaries
        encoder.color_trc = decoder.color_trc
        count = 0
        for decoded in source.decode(video):
            if count == options.frames:
                break
            noisy = to_frame(decoded.reformat(format="yuv420p"), count)
            for clean in denoiser.process(noisy):
                output.mux(stream.encode(to_pyav(clean)))
            count += 1
        for clean in denoiser.flush():
            output.mux(stream.encode(to_pyav(clean)))
        output.mux(stream.encode(None))
        print(f"{count} frames, backend {denoiser.backend}")


if __name__ == "__main__":
    main()
