"""Save one frame of a video as an image: ``save_frame.py VIDEO IMAGE [INDEX]``.

The default is the last frame, before which a recurrent denoiser has seen the whole
clip.
"""

import sys
from collections import deque
from itertools import islice

from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import ReadOptions


def main(video: str, image: str, index: int | None = None) -> None:
    """Write frame `index` of a video, or the last one if None, to an image file."""
    with open_source(video, ReadOptions(pix_fmt="rgb24")) as source:
        frames = iter(source) if index is None else islice(source, index, index + 1)
        last = deque(frames, maxlen=1)
        if not last:
            sys.exit(f"error: {video} has no frame {index}")
        with open_sink(image, source.info, overwrite=True) as sink:
            sink.write(last[0])


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else None)
