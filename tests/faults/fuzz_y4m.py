"""Fuzzes the yuv4mpegpipe reader, guided by coverage.

Not part of the test suite: it needs atheris, and runs until it is stopped. The fuzzer
also fails on input that takes too long or too much memory.

    pip install atheris
    python -m tests.faults.fuzz_y4m -max_total_time=600 -timeout=10 -rss_limit_mb=2048
"""

import io
import sys

import atheris

with atheris.instrument_imports(  # pyright: ignore[reportAttributeAccessIssue]
    include=["streamdenoise"]
):
    from streamdenoise.errors import SourceLostError, SourceOpenError
    from streamdenoise.frame import PIX_FMTS
    from streamdenoise.io.options import ReadOptions
    from streamdenoise.io.sources.y4m import Y4MSource
    from streamdenoise.io.y4m import format_header, parse_header

HEADER = b"YUV4MPEG2 W4 H2 F25:1 Ip C"
MAX_FRAMES = 50


def test_one_input(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)  # pyright: ignore[reportAttributeAccessIssue]
    pix_fmt = provider.PickValueInList([None, *PIX_FMTS])
    start_s = provider.PickValueInList([0.0, 0.01, 3.0, 1e9])
    duration_s = provider.PickValueInList([None, 0.01, 3.0, 1e9])
    beginning = provider.PickValueInList([b"", b"YUV4MPEG2 ", HEADER, HEADER + b"420"])
    stream = io.BytesIO(beginning + provider.ConsumeBytes(len(data)))
    try:
        source = Y4MSource(
            stream,
            "fuzz",
            ReadOptions(start_s=start_s, duration_s=duration_s, pix_fmt=pix_fmt),
        )
    except SourceOpenError:
        return
    with source:
        try:
            for index, frame in enumerate(source):
                assert frame.index == index
                assert (frame.width, frame.height) == (
                    source.info.width,
                    source.info.height,
                )
                if index == MAX_FRAMES:
                    break
        except SourceLostError:
            pass
        stream.seek(0)
        info = parse_header(stream.readline()[:-1])
        assert parse_header(format_header(info)[:-1]) == info


def main() -> None:
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
