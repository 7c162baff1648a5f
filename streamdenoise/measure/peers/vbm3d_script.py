"""Denoises raw yuv420p with V-BM3D, in a Python that has VapourSynth.

    python vbm3d_script.py RAW WIDTH HEIGHT FRAMES THREADS RADIUS BLOCK_STEP BM_RANGE
        SIGMA_Y SIGMA_U SIGMA_V

The result goes to stdout, the time taken to stderr. The sigmas are in 8-bit levels of
the planes. This file imports nothing of streamdenoise, which that Python may lack.
"""

import sys
import time
from typing import Any

import numpy as np


def main(
    raw: str,
    width: int,
    height: int,
    frames: int,
    threads: int,
    radius: int,
    block_step: int,
    bm_range: int,
    *sigmas: float,
) -> None:
    """Denoise a raw file to stdout."""
    import vapoursynth as vs  # pyright: ignore[reportMissingImports]

    if threads:
        vs.core.num_threads = threads
    half = ((height + 1) // 2, (width + 1) // 2)
    shapes = [(height, width), half, half]
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    clip = np.memmap(raw, np.uint8, "r")[: frames * ends[-1]].reshape(frames, -1)
    # VapourSynth's 4:2:0 has no odd sizes: an edge is repeated.
    whole = [(2 * half[0], 2 * half[1]), half, half]

    def fill(n: int, f: Any) -> Any:
        f = f.copy()
        for plane, part in enumerate(np.split(clip[n], ends[:-1])):
            levels = part.reshape(shapes[plane]).astype(np.float32)
            missing = [
                (0, w - s) for w, s in zip(whole[plane], levels.shape, strict=True)
            ]
            target = np.asarray(f[plane])
            target[:] = np.pad(levels, missing, "edge") / 255
            if plane:
                target -= 128 / 255
        return f

    blank = vs.core.std.BlankClip(
        None, whole[0][1], whole[0][0], vs.YUV420PS, frames, keep=True
    )
    noisy = vs.core.std.ModifyFrame(blank, blank, fill)
    settings = {
        "sigma": list(sigmas),
        "block_step": block_step,
        "bm_range": bm_range,
        "radius": radius,
        "chroma": False,
    }
    basic = vs.core.bm3dcpu.BM3Dv2(noisy, **settings)
    final = vs.core.bm3dcpu.BM3Dv2(noisy, basic, **settings)
    start = time.perf_counter()
    for frame in final.frames(close=True):
        for plane, (rows, columns) in enumerate(shapes):
            levels = np.asarray(frame[plane])[:rows, :columns] * 255
            levels = levels + (128 if plane else 0)
            samples = np.clip(np.round(levels), 0, 255).astype(np.uint8)
            sys.stdout.buffer.write(samples.tobytes())
    print(f"seconds {time.perf_counter() - start:.4f}", file=sys.stderr)


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    main(name, *map(int, numbers[:7]), *map(float, numbers[7:]))
