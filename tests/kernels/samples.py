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


@compiled("float32[:]", "float32[:]")
def next_ones(source: np.ndarray, target: np.ndarray) -> None:
    for i in range(source.shape[0]):
        target[i] = source[i] + np.float32(1)


@compiled("float32[:]")
def calls_a_library(values: np.ndarray) -> None:
    for i in range(values.shape[0]):
        values[i] = np.tan(values[i])


@compiled("float32[:]")
def allocates(values: np.ndarray) -> None:
    values[:] = np.empty_like(values)
