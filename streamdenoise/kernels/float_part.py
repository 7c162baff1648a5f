"""The float part of a step of the network for yuv420, around its INT8 convolutions.

It computes as `streamdenoise.network.model` does. A runtime runs layer by layer, and
each layer reads and writes maps that no cache holds; here each row of blocks goes
through a whole part while it is in the cache. Rows are independent of each other, so
threads share them out.

Arrays are rows of blocks: ``(h, w * channels)`` of a map ``(h, w, channels)``, with 24
coefficients a block. The noise map has half the height and width, with 2x2 factors for
each of the 4 bands in its 16 channels. `scratch` is ``(2, w * 24)``, and belongs to a
thread.
"""

from dataclasses import dataclass

import numpy as np

from streamdenoise.kernels.compiled import Kernel, compiled, why_not

_C = 24
_SEEN_BY_GATE = _C + 4

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_QUARTER = np.float32(0.25)
_MOST_MOVED = np.float32(8.0)
_LAST_LEVEL = np.float32(255.0)
_LEAST_ENERGY = np.float32(0.01)
_LN_2 = np.float32(0.6931471805599453)
_ROOT_HALF_BITS = np.int32(0x3F3504F3)
"""The bits of the float32 that is closest to the root of 1/2."""
_MANTISSA_BITS = np.int32(23)

# Types of arguments.
_FLOAT, _LINE, _ROWS, _BYTES = "float32", "float32[:]", "float32[:, :]", "uint8[:, :]"
_OWN = (_ROWS, "int64", "int64")


def _multiply(source: np.ndarray, matrix: np.ndarray, target: np.ndarray) -> None:
    """Multiply each block of a row by a matrix ``(24, 24)``."""
    for i in range(source.shape[0] // _C):
        p = i * _C
        for c in range(_C):
            total = _ZERO
            for k in range(_C):
                total += source[p + k] * matrix[k, c]
            target[p + c] = total


def _log(value: np.float32) -> np.float32:
    """Natural logarithm of a positive number, to 1e-7."""
    bits = np.float32(value).view(np.int32)
    exponent = (bits - _ROOT_HALF_BITS) >> _MANTISSA_BITS
    mantissa = np.int32(bits - (exponent << _MANTISSA_BITS)).view(np.float32)
    x = (mantissa - _ONE) / (mantissa + _ONE)
    square = x * x
    series = _ONE + square * (
        np.float32(1 / 3) + square * (np.float32(1 / 5) + square * np.float32(1 / 7))
    )
    return np.float32(exponent) * _LN_2 + np.float32(2.0) * x * series


def _level(value: np.float32) -> np.uint8:
    """Round a number that is not negative to a byte."""
    return np.uint8(np.int32(min(value, _LAST_LEVEL)))


def noise_map_inputs(
    pixels: np.ndarray,
    per_level: np.float32,
    fused: np.ndarray,
    frames: np.ndarray,
    basis: np.ndarray,
    of_details: np.ndarray,
    of_change: np.ndarray,
    levels: np.ndarray,
    features: np.ndarray,
    scratch: np.ndarray,
    begin: np.int64,
    end: np.int64,
) -> None:
    """Look at every other row and column of blocks.

    Args:
        pixels: ``(h, w * 24)`` of the new frame.
        per_level: its samples times this are in [0, 1].
        fused: ``(h, w * 24)``, pixels of the running mean.
        frames: ``(h, w * 4)``.
        basis: ``(24, 24)``, from pixels to coefficients.
        of_details: ``(4, 24)``, weights of squared coefficients in the first energy.
        of_change: ``(4, 24)``, weights in the energy of the difference from the mean.
        levels: ``(n,)``, of the noise.
        features: ``(h / 2, w / 2 * (15 + n))``, written.
        scratch: see above.
        begin: first row of the features.
        end: row after the last one.
    """
    blocks = scratch.shape[1] // (2 * _C)
    seen = features.shape[1] // blocks
    noisy, mean = scratch[0, : blocks * _C], scratch[1, : blocks * _C]
    new, old = scratch[0, blocks * _C :], scratch[1, blocks * _C :]
    for y in range(begin, end):
        for i in range(blocks):
            for c in range(_C):
                new[i * _C + c] = pixels[2 * y, 2 * i * _C + c] * per_level
                old[i * _C + c] = fused[2 * y, 2 * i * _C + c]
        _multiply(new, basis, noisy)
        _multiply(old, basis, mean)
        for i in range(blocks):
            p = i * _C
            o = i * seen
            for band in range(4):
                details = change = _LEAST_ENERGY
                for c in range(_C):
                    difference = noisy[p + c] - mean[p + c]
                    details += noisy[p + c] * noisy[p + c] * of_details[band, c]
                    change += difference * difference * of_change[band, c]
                features[y, o + band] = details
                features[y, o + 4 + band] = change
                features[y, o + 11 + band] = _ONE / (_ONE + frames[2 * y, 8 * i + band])
            for k in range(8):
                features[y, o + k] = _QUARTER * _log(features[y, o + k])
            features[y, o + 8] = noisy[p]
            features[y, o + 9] = noisy[p + 16]
            features[y, o + 10] = noisy[p + 20]
            for k in range(levels.shape[0]):
                features[y, o + 15 + k] = levels[k]


def gate_inputs(
    pixels: np.ndarray,
    per_level: np.float32,
    fused: np.ndarray,
    frames: np.ndarray,
    factors: np.ndarray,
    basis: np.ndarray,
    noise: np.ndarray,
    least_noise: np.float32,
    per_unit: np.float32,
    change: np.ndarray,
    gate: np.ndarray,
    scratch: np.ndarray,
    begin: np.int64,
    end: np.int64,
) -> None:
    """Compare the new frame with the running mean.

    Args:
        pixels: see `noise_map_inputs`, as others here.
        per_level: see there.
        fused: see there.
        frames: see there.
        factors: ``(h / 2, w / 2 * 16)``, the noise map.
        basis: see there.
        noise: ``(4, 24)``, the noise that each band's factor is of.
        least_noise: differences are never measured against less.
        per_unit: levels of the gate's inputs for each unit.
        change: ``(h, w * 24)``, written: coefficients of the difference.
        gate: ``(h, w * 28)``, written: inputs of the motion gate.
        scratch: see above.
        begin: first row.
        end: row after the last one.
    """
    blocks = scratch.shape[1] // _C
    difference = scratch[0]
    for y in range(begin, end):
        for i in range(blocks * _C):
            difference[i] = pixels[y, i] * per_level - fused[y, i]
        _multiply(difference, basis, change[y])
        half = y >> 1
        for i in range(blocks):
            k = (i >> 1) * 16 + (y & 1) * 2 + (i & 1)
            f0, f1 = factors[half, k], factors[half, k + 4]
            f2, f3 = factors[half, k + 8], factors[half, k + 12]
            p, o = i * _C, i * _SEEN_BY_GATE
            for c in range(_C):
                std = f0 * noise[0, c] + f1 * noise[1, c]
                std += f2 * noise[2, c] + f3 * noise[3, c]
                moved = abs(change[y, p + c]) / max(std, least_noise)
                gate[y, o + c] = _level(
                    min(moved, _MOST_MOVED) * (_QUARTER * per_unit) + _HALF
                )
            for band in range(4):
                gate[y, o + _C + band] = _level(
                    per_unit / (_ONE + frames[y, 4 * i + band]) + _HALF
                )


def fuse(
    fused: np.ndarray,
    frames: np.ndarray,
    factors: np.ndarray,
    gain: np.ndarray,
    hidden: np.ndarray,
    basis: np.ndarray,
    noise: np.ndarray,
    least_noise: np.float32,
    bands: np.ndarray,
    details: np.ndarray,
    shown: np.ndarray,
    per_unit: np.float32,
    zero: np.float32,
    change: np.ndarray,
    head: np.ndarray,
    means: np.ndarray,
    scratch: np.ndarray,
    begin: np.int64,
    end: np.int64,
) -> None:
    """Fuse the new frame with the running mean, and write the inputs of the head.

    Args:
        fused: see `noise_map_inputs` and `gate_inputs`, as others here.
        frames: see there.
        factors: see there.
        gain: ``(h, w * 4)``, share of the new frame.
        hidden: ``(h, w * n)``.
        basis: see there.
        noise: see there.
        least_noise: see there.
        bands: ``(4, 24)``, 1 where a coefficient is of a band.
        details: ``(24,)``, 0 for means of blocks and 1 for the others.
        shown: ``(4, n)``, levels of the noise that each band's factor is of.
        per_unit: levels of the head's inputs for each unit.
        zero: level of 0.
        change: as `gate_inputs` wrote it; replaced by coefficients of the fused frame.
        head: ``(h, w * n)``, written: inputs of the head.
        means: ``(h, w * 3)``, written: means of blocks.
        scratch: see above.
        begin: first row.
        end: row after the last one.
    """
    blocks = scratch.shape[1] // _C
    seen, features = head.shape[1] // blocks, hidden.shape[1] // blocks
    mean, moved = scratch[0], scratch[1]
    offset = zero + _HALF
    for y in range(begin, end):
        _multiply(fused[y], basis, mean)
        half = y >> 1
        for i in range(blocks):
            k = (i >> 1) * 16 + (y & 1) * 2 + (i & 1)
            f0, f1 = factors[half, k], factors[half, k + 4]
            f2, f3 = factors[half, k + 8], factors[half, k + 12]
            g0, g1 = gain[y, 4 * i], gain[y, 4 * i + 1]
            g2, g3 = gain[y, 4 * i + 2], gain[y, 4 * i + 3]
            # In a first frame nothing has moved.
            scale = min(frames[y, 4 * i], _ONE) * (_QUARTER * per_unit)
            p, o = i * _C, i * seen
            for c in range(_C):
                std = f0 * noise[0, c] + f1 * noise[1, c]
                std += f2 * noise[2, c] + f3 * noise[3, c]
                share = g0 * bands[0, c] + g1 * bands[1, c]
                share += g2 * bands[2, c] + g3 * bands[3, c]
                noises = change[y, p + c] / max(std, least_noise)
                noises = max(min(noises, _MOST_MOVED), -_MOST_MOVED)
                moved[p + c] = noises * scale + offset
                new = mean[p + c] + share * change[y, p + c]
                change[y, p + c] = new
                mean[p + c] = new * details[c] * per_unit + offset
            # Of a slice, unlike of the row, indices are known not to be negative.
            seen_first = head[y, o : o + 2 * _C]
            for c in range(_C):
                seen_first[c] = _level(max(mean[p + c], _ZERO))
                seen_first[_C + c] = _level(max(moved[p + c], _ZERO))
            o += 2 * _C
            for band in range(4):
                head[y, o + band] = _level(gain[y, 4 * i + band] * per_unit + offset)
            o += 4
            for k in range(shown.shape[1]):
                level = f0 * shown[0, k] + f1 * shown[1, k]
                level += f2 * shown[2, k] + f3 * shown[3, k]
                head[y, o + k] = _level(level * per_unit + offset)
            o += shown.shape[1]
            past = hidden[y, i * features : (i + 1) * features]
            seen_hidden = head[y, o : o + features]
            for k in range(features):
                seen_hidden[k] = _level(max(past[k] * per_unit + offset, _ZERO))
            means[y, 3 * i] = change[y, p]
            means[y, 3 * i + 1] = change[y, p + 16]
            means[y, 3 * i + 2] = change[y, p + 20]


def clean(
    coefficients: np.ndarray,
    factors: np.ndarray,
    gain: np.ndarray,
    root: np.ndarray,
    heights: np.ndarray,
    residual: np.ndarray,
    kept: np.ndarray,
    inverse: np.ndarray,
    bands: np.ndarray,
    noise: np.ndarray,
    bounds: np.ndarray,
    peak: np.float32,
    fused: np.ndarray,
    pixels: np.ndarray,
    scratch: np.ndarray,
    begin: np.int64,
    end: np.int64,
) -> None:
    """Take the noise out, and transform back.

    Args:
        coefficients: ``(h, w * 24)`` of the fused frame.
        factors: see `gate_inputs`.
        gain: see `fuse`.
        root: of the gain.
        heights: ``(h, w * 24)``, thresholds as shares of the bounds.
        residual: ``(h, w * 24)``, in units of the noise.
        kept: ``(h, w)``, share of the residual that is left, see
            `streamdenoise.kernels.stillness`.
        inverse: ``(24, 24)``, from coefficients to pixels.
        bands: see `fuse`.
        noise: ``(4, 24)``, the residual's unit that each band's factor is of.
        bounds: ``(4, 24)``, the largest threshold that each band's factor is of.
        peak: full scale of the samples.
        fused: ``(h, w * 24)``, written: pixels of the next running mean. May be the
            array of the coefficients.
        pixels: ``(h, w * 24)``, written: the denoised samples.
        scratch: see above.
        begin: first row.
        end: row after the last one.
    """
    blocks = scratch.shape[1] // _C
    clean, mean = scratch[0], scratch[1]
    for y in range(begin, end):
        half = y >> 1
        for i in range(blocks):
            k = (i >> 1) * 16 + (y & 1) * 2 + (i & 1)
            f0, f1 = factors[half, k], factors[half, k + 4]
            f2, f3 = factors[half, k + 8], factors[half, k + 12]
            g0, g1 = gain[y, 4 * i], gain[y, 4 * i + 1]
            g2, g3 = gain[y, 4 * i + 2], gain[y, 4 * i + 3]
            b0, b1 = f0 * root[y, 4 * i], f1 * root[y, 4 * i + 1]
            b2, b3 = f2 * root[y, 4 * i + 2], f3 * root[y, 4 * i + 3]
            left = kept[y, i]
            p = i * _C
            for c in range(_C):
                unit = f0 * noise[0, c] + f1 * noise[1, c]
                unit += f2 * noise[2, c] + f3 * noise[3, c]
                unit *= left
                share = g0 * bands[0, c] + g1 * bands[1, c]
                share += g2 * bands[2, c] + g3 * bands[3, c]
                bound = b0 * bounds[0, c] + b1 * bounds[1, c]
                bound += b2 * bounds[2, c] + b3 * bounds[3, c]
                bound *= heights[y, p + c]
                value = coefficients[y, p + c]
                lost = max(min(value, bound), -bound)
                added = residual[y, p + c] * unit - lost
                clean[p + c] = value + added
                mean[p + c] = value + share * added
        _multiply(mean, inverse, fused[y])
        _multiply(clean, inverse, mean)
        for i in range(blocks * _C):
            value = max(min(mean[i], _ONE), _ZERO)
            pixels[y, i] = np.int32(value * peak + _HALF)


@dataclass(frozen=True, slots=True)
class FloatPart:
    """The kernels for one type of samples."""

    noise_map_inputs: Kernel
    gate_inputs: Kernel
    fuse: Kernel
    clean: Kernel

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All of them, in the order of a step."""
        return self.noise_map_inputs, self.gate_inputs, self.fuse, self.clean

    def why_not(self) -> str:
        """Load all kernels; why one cannot be used, or nothing."""
        return why_not(self.kernels)


def float_part(samples: str) -> FloatPart:
    """The kernels for ``uint8`` or ``uint16`` samples; not yet loaded."""
    pixels = f"{samples}[:, :]"
    return FloatPart(
        compiled(pixels, _FLOAT, *5 * [_ROWS], _LINE, _ROWS, *_OWN)(noise_map_inputs),
        compiled(*(pixels, _FLOAT, *5 * [_ROWS], _FLOAT, _FLOAT, _ROWS, _BYTES, *_OWN))(
            gate_inputs
        ),
        _fuse,
        compiled(*11 * [_ROWS], _FLOAT, _ROWS, pixels, *_OWN)(clean),
    )


_fuse = compiled(
    *(*7 * [_ROWS], _FLOAT, _ROWS, _LINE, _ROWS, _FLOAT, _FLOAT),
    *(_ROWS, _BYTES, _ROWS, *_OWN),
)(fuse)

FLOAT_PARTS = {samples: float_part(samples) for samples in ("uint8", "uint16")}
"""Type of the samples -> kernels."""
