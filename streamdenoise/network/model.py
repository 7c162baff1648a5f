"""The recurrent residual network: one pure step with explicit state.

A step fuses the new frame with a running, motion-gated mean of the past (a scalar
Kalman filter in the mean's "effective number of frames", one for each band of
frequencies); then a small two-scale CNN with its own hidden features estimates the
noise that remains. All state tensors start at zero, so a reset is a fresh start. The
caller follows motion by warping the state between steps
(`streamdenoise.imaging.motion`).

Everything runs on the cosine coefficients of 4x4 pixels
(`streamdenoise.imaging.coefficients`), at a quarter of the size, where wide
convolutions are cheap. White noise stays white there and images become sparse, so one
threshold for each coefficient removes most of the noise, as in every transform denoiser
(Donoho, "De-noising by soft-thresholding", 1995). The CNN sets the thresholds and adds
a correction; narrow layers alone could not carry the noise of all samples to the
output.

Channels come last, which the convolutions of all runtimes prefer: sums and products
between the convolutions then need no reordering.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamdenoise.imaging.coefficients import (
    MIN_GIVEN_STD,
    MIN_NOISE_STD,
    band_of_channels,
    mean_channels,
    noise_shares,
    shown_channels,
)
from streamdenoise.imaging.noise_profile import FINEST, LEVELS
from streamdenoise.network.packing import (
    LAYOUT_CHANNELS,
    seen_channels,
    threshold_of_channels,
    transform,
)

State = tuple[Tensor, Tensor, Tensor, Tensor]

MULTIPLE = 8
"""Luma width and height must be multiples of this; callers pad."""

MAX_FRAMES = 64.0
"""The running mean counts at most this many frames, so that it follows slow change."""

MAX_CHANNELS = 1024
"""Bounds the memory that a checkpoint can ask for."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that is needed to build a network; stored with its weights."""

    name: str = "nano"
    layout: str = "yuv420"
    width: int = 48
    """Channels at a quarter of the luma size."""
    width_low: int = 80
    """Channels at an eighth of the luma size."""
    hidden: int = 16
    """Recurrent features at a quarter of the luma size."""
    hidden_low: int = 32
    """Recurrent features at an eighth of the luma size."""
    gate: int = 16
    """Channels of the motion gate."""
    noise_map: int = 0
    """Channels of the map of the noise; 0 uses the given level for the whole frame."""
    profile: bool = False
    """Whether the noise is given as a profile (`streamdenoise.imaging.noise_profile`);
    otherwise as one level for each plane."""

    def __post_init__(self) -> None:
        # Files are named after it.
        if not isinstance(self.name, str) or not re.fullmatch(
            r"\w[\w. +-]*", self.name
        ):
            raise ValueError(f"name must be a plain word, got {self.name!r}")
        widths = (self.width, self.width_low, self.hidden, self.hidden_low)
        for count in (*widths, self.gate, self.noise_map):
            if type(count) is not int or not 0 <= count <= MAX_CHANNELS:
                raise ValueError(f"channels must be 0 to {MAX_CHANNELS}, got {count!r}")
        if self.layout not in LAYOUT_CHANNELS:
            raise ValueError(
                f"layout must be one of {', '.join(LAYOUT_CHANNELS)}, "
                f"got {self.layout!r}"
            )
        if self.hidden > self.width or self.hidden_low > self.width_low:
            raise ValueError(
                "hidden features are a part of the width; raise width or width_low, "
                f"got {self}"
            )

    @property
    def channels(self) -> int:
        """Packed channels of the layout."""
        return LAYOUT_CHANNELS[self.layout]

    @property
    def levels(self) -> int:
        """Number of noise levels that the network gets."""
        return len(LEVELS) if self.profile else 1 if self.layout == "gray" else 3

    def told(self, profile: Tensor) -> Tensor:
        """The levels that the network gets, of a profile ``(7,)``.

        Without a profile they are those of the finest scale.
        """
        return profile if self.profile else profile[list(FINEST)][: self.levels]

    @property
    def shown(self) -> list[int]:
        """See `shown_channels`."""
        return shown_channels(self.layout, self.profile)

    @property
    def bands(self) -> int:
        """Number of groups of channels for which the motion gate decides separately."""
        return max(band_of_channels(self.layout)) + 1

    def state_shapes(self, height: int, width: int, batch: int = 1) -> list[list[int]]:
        """Shapes of the state for a luma plane of `height` x `width` pixels."""
        return [
            [batch, height // scale, width // scale, channels]
            for channels, scale in self.state_channels().values()
        ]

    def state_channels(self) -> dict[str, tuple[int, int]]:
        """State of a stream: name -> channels and scale.

        Each tensor is ``(1, H / scale, W / scale, channels)``.
        """
        return {
            "fused": (self.channels, 4),
            "frames": (self.bands, 4),
            "hidden": (self.hidden, 4),
            "hidden_low": (self.hidden_low, 8),
        }


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


class NoiseMap(nn.Module):
    """Corrects the given noise level for each place and band.

    Camera noise grows with the light, and is partly smeared or compressed away, so one
    level fits no frame. Corrections are octaves: 1 doubles the level.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        means = len(mean_channels(spec.layout))
        width = spec.noise_map
        self.look = _conv(3 * spec.bands + means + len(spec.shown), width)
        self.combine = _conv(width + spec.hidden_low, width)
        self.correct = nn.Conv2d(width, 4 * spec.bands, 1)
        nn.init.zeros_(self.correct.weight)
        assert self.correct.bias is not None
        nn.init.zeros_(self.correct.bias)

    def forward(
        self,
        energies: Sequence[Tensor],
        means: Tensor,
        gain: Tensor,
        levels: Tensor,
        hidden_low: Tensor,
    ) -> Tensor:
        """Estimate factors on the given level.

        Args:
            energies: energy of the frame's details and energy of its difference from
                the past, each ``(N, h/2, w/2, bands)``, in units of the given variance.
            means: ``(N, h/2, w/2, planes)``, of blocks.
            gain: ``(N, h/2, w/2, bands)``, Kalman gain of the new frame.
            levels: ``(N, h/2, w/2, len(spec.shown))``, see `ModelSpec.shown`.
            hidden_low: ``(N, h/2, w/2, hidden_low)``, from the last step.

        Returns:
            ``(N, h, w, bands)`` in 1/8 to 8.
        """
        logs = [0.25 * (energy + 0.01).log() for energy in energies]
        x = torch.cat([*logs, means, gain, levels], -1)
        x = F.relu(self.look(_channels_first(x)))
        x = F.relu(self.combine(torch.cat([x, _channels_first(hidden_low)], 1)))
        octaves = F.pixel_shuffle(self.correct(x), 2).float()
        return _channels_last((octaves.clamp(-3.0, 3.0) * math.log(2.0)).exp())


class RecurrentDenoiser(nn.Module):
    """The step network; the state is an input and an output."""

    select_means: Tensor
    is_detail: Tensor
    spread_bands: Tensor
    spread_levels: Tensor
    spread_thresholds: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self._fine = spec.channels - seen_channels(spec.layout)
        c, w, low = seen_channels(spec.layout), spec.width, spec.width_low
        thresholds = torch.tensor(threshold_of_channels(spec.layout))
        self.gate_in = _conv(c + spec.bands, spec.gate)
        self.gate_out = _conv(spec.gate, spec.bands)
        # Block means have a convolution of their own: the other one then sees only
        # small numbers, whose filters INT8 can round without shifting the brightness.
        means = mean_channels(spec.layout)
        self.head = _conv(2 * c + spec.bands + len(spec.shown) + spec.hidden, w)
        self.head_mean = nn.Conv2d(len(means), w, 3, padding=1, bias=False)
        self.encode = _conv(w, w)
        self.down = _conv(w, low, stride=2)
        self.low1 = _conv(low + spec.hidden_low, low)
        self.low2 = _conv(low, low)
        self.up: nn.Module = nn.Conv2d(low, 4 * w, 1)
        self.shuffle: nn.Module = nn.PixelShuffle(2)
        self.decode1 = _conv(w, w)
        self.decode2 = _conv(w, w)
        self.tail = _conv(w, c)
        self.threshold = nn.Conv2d(w, int(thresholds.max()) + 1, 1)
        self.noise_map = NoiseMap(spec) if spec.noise_map else None
        # Columns that select the means of blocks, and a mask of the details.
        select = F.one_hot(torch.tensor(means), spec.channels).T.float()
        self.register_buffer("select_means", select, persistent=False)
        self.register_buffer("is_detail", 1.0 - select.sum(1), persistent=False)
        spread = F.one_hot(torch.tensor(band_of_channels(spec.layout))).T.float()
        self.register_buffer("spread_bands", spread, persistent=False)
        spread = spread[:, spec.shown]
        self.register_buffer("spread_levels", spread, persistent=False)
        spread = F.one_hot(thresholds).T.float()
        self.register_buffer("spread_thresholds", spread, persistent=False)
        # Starts close to the identity on the fused frame, with low thresholds.
        with torch.no_grad():
            for parameter in (*self.tail.parameters(), *self.threshold.parameters()):
                parameter.mul_(0.1)
            assert self.threshold.bias is not None
            self.threshold.bias.fill_(-1.5)

    def initial_state(
        self, height: int, width: int, batch: int = 1, device: str = "cpu"
    ) -> State:
        """The state of a new stream: zeros of `ModelSpec.state_shapes`.

        Features have the type of the convolutions that produce them.
        """
        shapes = self.spec.state_shapes(height, width, batch)
        features = self.head.weight.dtype
        types = (torch.float32, torch.float32, features, features)
        fused, frames, hidden, low = (
            torch.zeros(shape, dtype=dtype, device=device)
            for shape, dtype in zip(shapes, types, strict=True)
        )
        return fused, frames, hidden, low

    def forward(
        self,
        noisy: Tensor,
        noise_std: Tensor,
        fused: Tensor,
        frames: Tensor,
        hidden: Tensor,
        hidden_low: Tensor,
        strength: Tensor | float = 1.0,
    ) -> tuple[Tensor, State]:
        """Denoise one packed frame.

        Args:
            noisy: ``(N, h, w, C)``, from `pack` of planes in [0, 1].
            noise_std: ``(N, 1, 1, C)`` noise std in [0, 1], from `packed_noise_std`.
            fused: ``(N, h, w, C)``, the running mean of the past.
            frames: ``(N, h, w, bands)``, the effective number of frames in that mean; 0
                at the start.
            hidden: ``(N, h, w, hidden)``.
            hidden_low: ``(N, h/2, w/2, hidden_low)``.
            strength: factor on the level, applied after the noise map.

        Returns:
            The denoised packed frame, not clipped, and the next state.
        """
        return self.advance(
            noisy - fused, noise_std, fused, frames, hidden, hidden_low, strength
        )

    def advance(
        self,
        change: Tensor,
        noise_std: Tensor,
        fused: Tensor,
        frames: Tensor,
        hidden: Tensor,
        hidden_low: Tensor,
        strength: Tensor | float = 1.0,
    ) -> tuple[Tensor, State]:
        """Denoise one packed frame, given as its difference from the running mean.

        The other arguments and the result are those of `forward`.

        Args:
            change: ``(N, h, w, C)``, the noisy frame minus `fused`.
        """
        if self.noise_map is None:
            noise_std = noise_std * strength
            levels = self._levels(noise_std).expand(-1, *change.shape[1:3], -1)
        else:
            noise_std = noise_std.clamp(min=MIN_GIVEN_STD)
            factors = self._noise_factors(change, noise_std, fused, frames, hidden_low)
            noise_std = noise_std * strength
            # The level goes into the matrices that spread the factors over channels,
            # which saves writing a map of all channels only to multiply it.
            levels = factors @ (self.spread_levels * self._levels(noise_std))
            noise_std = (factors @ (self.spread_bands * noise_std)).float()
        # The Kalman gain of a constant signal seen `n` times is 1/(n+1); the gate
        # reduces `n` where something moved.
        scale = self._seen(noise_std).clamp(min=MIN_NOISE_STD)
        moved = (self._seen(change) / scale).clamp(-8.0, 8.0)
        seen = torch.cat([0.25 * moved.abs(), 1.0 / (1.0 + frames)], -1)
        seen = self.gate_out(F.relu(self.gate_in(_channels_first(seen))))
        # A flat list of blocks has one memory layout, so no runtime reorders it.
        trust = torch.sigmoid(_channels_last(seen).float().flatten(0, 2))
        trusted = trust * frames.flatten(0, 2)
        gain = (1.0 / (1.0 + trusted)).view_as(frames)
        gains = gain @ self.spread_bands
        fused = fused + gains * change
        # In a first frame nothing has moved.
        moved = 0.25 * moved * frames[..., :1].clamp(max=1.0)
        frames = (1.0 + trusted).clamp(max=MAX_FRAMES).view_as(frames)

        details = fused * self.is_detail
        means = fused @ self.select_means
        seen = torch.cat([self._seen(details), moved, gain, levels, hidden], -1)
        x = self.head(_channels_first(seen)) + self.head_mean(_channels_first(means))
        skip = F.relu(self.encode(F.relu(x)))
        x = F.relu(self.down(skip))
        x = F.relu(self.low1(torch.cat([x, _channels_first(hidden_low)], 1)))
        x = F.relu(self.low2(x))
        hidden_low = _channels_last(x[:, : self.spec.hidden_low])
        skip = skip + self.shuffle(self.up(x))
        x = F.relu(self.decode1(F.relu(skip)))
        x = F.relu(self.decode2(x) + skip)
        hidden = _channels_last(x[:, : self.spec.hidden])
        # Everything is in units of the noise, so that quiet frames are hardly changed.
        # Where the past is trusted, less noise is left in the mean.
        heights = torch.sigmoid(_channels_last(self.threshold(x)).float())
        if self._fine:
            heights = heights @ self.spread_thresholds
        bound = (4.0 * self.is_detail * noise_std) * gains.sqrt() * heights
        lost = torch.maximum(torch.minimum(fused, bound), -bound)
        added = _channels_last(self.tail(x)).float() * (2.0 * self._seen(noise_std))
        clean = F.pad(added, (0, self._fine)) - lost if self._fine else added - lost
        # The share of this frame in the mean is passed on denoised, so that the next
        # frame can be compared with it where the past is not trusted.
        return fused + clean, (fused + gains * clean, frames, hidden, hidden_low)

    def _seen(self, channels: Tensor) -> Tensor:
        """The channels that are inputs of the convolutions, see `seen_channels`."""
        return channels[..., : -self._fine] if self._fine else channels

    def _levels(self, noise_std: Tensor) -> Tensor:
        """Levels of `ModelSpec.shown`, scaled so that 25/255 is about 0.5."""
        return noise_std[..., self.spec.shown] * 5.0

    def _noise_factors(
        self,
        change: Tensor,
        noise_std: Tensor,
        fused: Tensor,
        frames: Tensor,
        hidden_low: Tensor,
    ) -> Tensor:
        assert self.noise_map is not None
        # Every other row and column of blocks is enough, at a quarter of the cost.
        change, fused, frames = (x[:, ::2, ::2] for x in (change, fused, frames))
        noisy = fused + change
        scale = 1.0 / noise_std.clamp(min=MIN_NOISE_STD)
        details = noisy * self.is_detail
        per_band = self.spread_bands.T / self.spread_bands.sum(1)
        energies = [(x * scale).square() @ per_band for x in (details, change)]
        return self.noise_map(
            energies,
            noisy @ self.select_means,
            1.0 / (1.0 + frames),
            self._levels(noise_std).expand(-1, *noisy.shape[1:3], -1),
            hidden_low,
        )


def kmac_per_pixel(spec: ModelSpec) -> float:
    """Thousands of multiply-accumulates of the convolutions per luma pixel."""
    net = RecurrentDenoiser(spec)
    low = {"down", "low1", "low2", "up"}
    macs = 0.0
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            at_eighth = name in low or name.startswith("noise_map.")
            macs += module.weight.numel() / (64 if at_eighth else 16)
    return macs / 1000


class DeployedGraph(nn.Module):
    """The graph that every backend runs: pixels and state in, pixels and state out.

    Pixels are in blocks (`streamdenoise.imaging.blocks`) and are integers held in
    float32 (0 to `peak`), so that one artifact serves 8 and 10 bits; backends that can
    put the casts from and to integers into the graph do so.

    Unlike in the network, the fused frame is passed on as pixels too, so that any image
    library can warp it.
    """

    basis: Tensor
    noise_shares: Tensor

    def __init__(self, net: RecurrentDenoiser) -> None:
        super().__init__()
        self.net = net
        self.layout = net.spec.layout
        # Made once, on the network's device: CUDA graphs cannot copy from the host.
        like = net.head.weight.new_empty(0, dtype=torch.float32)
        basis = transform(net.spec.layout, like)
        self.register_buffer("basis", basis, persistent=False)
        shares = torch.from_numpy(noise_shares(net.spec.layout, net.spec.levels))
        self.register_buffer("noise_shares", shares.to(like), persistent=False)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in order."""
        return ["pixels", "peak", "sigma", "strength", *self.net.spec.state_channels()]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        names = ("pixels", *self.net.spec.state_channels())
        return [f"{name}_out" for name in names]

    def initial_state(self, height: int, width: int) -> State:
        """The state of a new stream of `height` x `width` luma pixels."""
        return self.net.initial_state(height, width)

    def example_inputs(
        self, height: int, width: int, streams: int = 1
    ) -> tuple[Tensor, ...]:
        """Example inputs for tracing the graph: first frames of mid gray."""
        fused, *features = self.net.initial_state(height, width, streams)
        return (
            torch.full_like(fused, 128.0),
            torch.full((1, 1, 1, 1), 255.0),
            torch.full((streams, self.net.spec.levels), 0.05),
            torch.ones((streams, 1, 1, 1)),
            fused,
            *features,
        )

    def forward(
        self,
        pixels: Tensor,
        peak: Tensor,
        noise_std: Tensor,
        strength: Tensor,
        fused: Tensor,
        frames: Tensor,
        hidden: Tensor,
        hidden_low: Tensor,
    ) -> tuple[Tensor, ...]:
        """Run a step.

        Args:
            pixels: ``(1, H/4, W/4, C)`` in 0 to peak.
            peak: ``(1, 1, 1, 1)``, 255 or 1023.
            noise_std: ``(1, levels)`` in [0, 1], see `packed_noise_std`.
            strength: ``(1, 1, 1, 1)``, see `RecurrentDenoiser.forward`.
            fused: as `pixels`, but in [0, 1] and not clipped.
            frames: see `RecurrentDenoiser.forward`.
            hidden: see `RecurrentDenoiser.forward`.
            hidden_low: see `RecurrentDenoiser.forward`.

        Returns:
            The denoised pixels, rounded and clipped to [0, peak], and the next state.
        """
        basis = self.basis
        denoised, (next_fused, *features) = self.net.advance(
            (pixels * (1.0 / peak) - fused) @ basis.T,
            (noise_std.square() @ self.noise_shares.T).sqrt()[:, None, None],
            fused @ basis.T,
            frames,
            hidden,
            hidden_low,
            strength,
        )
        clean = torch.round((denoised @ basis).clamp(0.0, 1.0) * peak)
        return clean, next_fused @ basis, *features
