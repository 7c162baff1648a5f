"""Small kernels for the tests."""

import numpy as np

from streamdenoise.kernels.compiled import compiled


def tripled(value: np.float32) -> np.float32:
    return value * np.float32(3)


@compiled("float32[:, :]", "float32", "float32[:, :]")
def tripled_plus(source: np.ndarray, offset: np.float32, target: np.ndarray) -> None:
    for y in range(source.shape[0]):
        for x in range(source.shape[1]):
            target[y, x] = tripled(source[y, x]) + offset


@compiled("float32[:]")
def allocates(values: np.ndarray) -> None:
    values[:] = np.cumsum(values)
