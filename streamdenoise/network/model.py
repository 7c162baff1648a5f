"""The recurrent residual network: one pure step with explicit state.

A step fuses the new frame with a running, motion-gated mean of the past (a scalar
Kalman filter in the mean's "effective number of frames", one for each band of
frequencies), then a small two-scale CNN with hidden features of its own says what is
still noise. All state tensors are zero for a fresh start, so a reset is a fresh start.
What moves is followed by the caller, who warps the state between steps
(`streamdenoise.imaging.motion`).

Everything runs on the cosine coefficients of 4x4 pixels
(`streamdenoise.network.packing`), at a quarter of the size, where wide convolutions are
cheap. White noise stays white there and images become sparse, so one threshold for each
coefficient removes most of the noise, as in every transform denoiser (Donoho,
"De-noising by soft-thresholding", 1995). The CNN sets the thresholds and adds what they
cannot do; narrow layers alone could not carry the noise of all samples to the output.

Channels come last, as the convolutions of all runtimes like them: sums and products
between the convolutions then need no reordering.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamdenoise.network.packing import (
    LAYOUT_CHANNELS,
    band_of_channels,
    mean_channels,
    packed_noise_std,
    seen_channels,
    threshold_of_channels,
    transform,
)

State = tuple[Tensor, Tensor, Tensor, Tensor]

MULTIPLE = 8
"""Luma width and height must be multiples of this; callers pad."""

MAX_FRAMES = 64.0
"""The running mean forgets beyond this many frames, so it can follow slow change."""

MIN_NOISE_STD = 0.5 / 255
"""Differences are never measured against less noise than rounding itself makes."""


MIN_GIVEN_STD = 0.25 / 255
"""A noise map never starts from less, or it could find no noise where none is told."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that is needed to build a network; travels with its weights."""

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
    """Channels of the map of the noise; 0 takes the told level for the whole picture.
    """

    def __post_init__(self) -> None:
        if self.layout not in LAYOUT_CHANNELS:
            raise ValueError(
                f"layout must be one of {', '.join(LAYOUT_CHANNELS)}, "
                f"got {self.layout!r}"
            )
        if self.hidden > self.width or self.hidden_low > self.width_low:
            raise ValueError("hidden features are taken from the width; make it wider")

    @property
    def channels(self) -> int:
        """Packed channels of the layout."""
        return LAYOUT_CHANNELS[self.layout]

    @property
    def bands(self) -> int:
        """Groups of channels that the motion gate trusts apart."""
        return max(band_of_channels(self.layout)) + 1

    def state_shapes(self, height: int, width: int, batch: int = 1) -> list[list[int]]:
        """Shapes of the state for a luma plane of `height` x `width` pixels."""
        return [
            [batch, height // scale, width // scale, channels]
            for channels, scale in self.state_channels().values()
        ]

    def state_channels(self) -> dict[str, tuple[int, int]]:
        """State of a stream: name -> channels, and scale below luma's size.

        Each is ``(1, H / scale, W / scale, channels)``.
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
    """Corrects the told noise level from place to place and band to band.

    Cameras' noise grows with the light and is smeared and compressed away in part, so
    that one level fits no picture. Levels are in logarithms: a correction of 1 doubles.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        means = len(mean_channels(spec.layout))
        width = spec.noise_map
        self.look = _conv(3 * spec.bands + means + 2, width)
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
        """Estimate factors on the told level, 1/8 to 8.

        Args:
            energies: of the frame's details and of its difference from the past, each
                ``(N, h/2, w/2, bands)``, in units of the told variance.
            means: ``(N, h/2, w/2, planes)`` of the blocks.
            gain: ``(N, h/2, w/2, bands)`` how little of the past there is.
            levels: ``(N, h/2, w/2, 2)``, see `RecurrentDenoiser.forward`.
            hidden_low: ``(N, h/2, w/2, hidden_low)``, which remembers.

        Returns:
            ``(N, h, w, bands)``.
        """
        logs = [0.25 * (energy + 0.01).log() for energy in energies]
        x = torch.cat([*logs, means, gain, levels], -1)
        x = F.relu(self.look(_channels_first(x)))
        x = F.relu(self.combine(torch.cat([x, _channels_first(hidden_low)], 1)))
        octaves = F.pixel_shuffle(self.correct(x), 2).float()
        return _channels_last((octaves.clamp(-3.0, 3.0) * math.log(2.0)).exp())


class RecurrentDenoiser(nn.Module):
    """The step network. Stateless itself: state goes in and comes out."""

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
        # Block means come in by a convolution of their own: the other one sees small
        # numbers only, whose filters INT8 can round without shifting the brightness.
        means = mean_channels(spec.layout)
        self.head = _conv(2 * c + spec.bands + 2 + spec.hidden, w)
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
        # Which channels are means of blocks, as columns, and which are details.
        select = F.one_hot(torch.tensor(means), spec.channels).T.float()
        self.register_buffer("select_means", select, persistent=False)
        self.register_buffer("is_detail", 1.0 - select.sum(1), persistent=False)
        spread = F.one_hot(torch.tensor(band_of_channels(spec.layout))).T.float()
        self.register_buffer("spread_bands", spread, persistent=False)
        # Of luma's means and of chroma, as in `_levels`.
        spread = spread[:, [0, -1]]
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
        """A fresh start: zeros of `ModelSpec.state_shapes`.

        Features have the type of the convolutions that make them.
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
            fused: ``(N, h, w, C)`` the running mean of the past.
            frames: ``(N, h, w, bands)`` how many frames that mean is worth in each
                band; 0 at the start.
            hidden: ``(N, h, w, hidden)``.
            hidden_low: ``(N, h/2, w/2, hidden_low)``.
            strength: factor on the level, on top of what the noise map corrects.

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
        """Denoise one packed frame, told as its difference from the running mean.

        Args:
            change: ``(N, h, w, C)`` noisy less `fused`.
            noise_std: see `forward`, as all that follow and what is returned.
        """
        if self.noise_map is None:
            noise_std = noise_std * strength
            levels = self._levels(noise_std).expand(-1, *change.shape[1:3], -1)
        else:
            noise_std = noise_std.clamp(min=MIN_GIVEN_STD)
            factors = self._noise_factors(change, noise_std, fused, frames, hidden_low)
            noise_std = noise_std * strength
            # The level is told to the matrices that spread the factors over channels: a
            # map of the channels is never written only to be multiplied.
            levels = factors @ (self.spread_levels * self._levels(noise_std))
            noise_std = (factors @ (self.spread_bands * noise_std)).float()
        # Kalman gain of a constant signal seen `n` times is 1/(n+1); the gate takes
        # frames away from `n` where the picture moved.
        scale = self._seen(noise_std).clamp(min=MIN_NOISE_STD)
        moved = (self._seen(change) / scale).clamp(-8.0, 8.0)
        seen = torch.cat([0.25 * moved.abs(), 1.0 / (1.0 + frames)], -1)
        seen = self.gate_out(F.relu(self.gate_in(_channels_first(seen))))
        # A list of blocks can lie in memory in one way only, so no runtime reorders it.
        trust = torch.sigmoid(_channels_last(seen).float().flatten(0, 2))
        trusted = trust * frames.flatten(0, 2)
        gain = (1.0 / (1.0 + trusted)).view_as(frames)
        gains = gain @ self.spread_bands
        fused = fused + gains * change
        # The first frame has not moved from anywhere.
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
        # All in units of the noise: quiet pictures can hardly be harmed. Where the past
        # is trusted, the mean has that much less of it.
        heights = torch.sigmoid(_channels_last(self.threshold(x)).float())
        if self._fine:
            heights = heights @ self.spread_thresholds
        bound = (4.0 * self.is_detail * noise_std) * gains.sqrt() * heights
        lost = torch.maximum(torch.minimum(fused, bound), -bound)
        added = _channels_last(self.tail(x)).float() * (2.0 * self._seen(noise_std))
        clean = F.pad(added, (0, self._fine)) - lost if self._fine else added - lost
        # What the mean has of this frame alone goes on without its noise, so that the
        # next frame can be compared with it where the past is not trusted.
        return fused + clean, (fused + gains * clean, frames, hidden, hidden_low)

    def _seen(self, channels: Tensor) -> Tensor:
        """Those that the network looks at, see `seen_channels`."""
        return channels[..., : -self._fine] if self._fine else channels

    @staticmethod
    def _levels(noise_std: Tensor) -> Tensor:
        """The noise of luma and of chroma, in units in which 25/255 is about 0.5."""
        return torch.cat([noise_std[..., :1], noise_std[..., -1:]], -1) * 5.0

    def _noise_factors(
        self,
        change: Tensor,
        noise_std: Tensor,
        fused: Tensor,
        frames: Tensor,
        hidden_low: Tensor,
    ) -> Tensor:
        assert self.noise_map is not None
        # Every other block a side says enough of the noise, at a quarter of the cost.
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
    """What every backend runs: pixels and state in, pixels and state out.

    Pixels lie in blocks (`streamdenoise.imaging.blocks`) and are integers held in
    float32 (0 to `peak`), so that one artifact serves 8 and 10 bits; backends that can
    put the casts from and to integers into the graph do so.

    The fused frame goes from step to step as pixels too, unlike in the network, so that
    it can be warped by any image library.
    """

    basis: Tensor

    def __init__(self, net: RecurrentDenoiser) -> None:
        super().__init__()
        self.net = net
        self.layout = net.spec.layout
        # Made once, on the network's device: CUDA graphs hold no copies from the host.
        like = net.head.weight.new_empty(0, dtype=torch.float32)
        basis = transform(net.spec.layout, like)
        self.register_buffer("basis", basis, persistent=False)

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
        """A fresh start for one stream of `height` x `width` pixels of luma."""
        return self.net.initial_state(height, width)

    def example_inputs(
        self, height: int, width: int, streams: int = 1
    ) -> tuple[Tensor, ...]:
        """Inputs of first frames of mid gray, to trace the graph with."""
        fused, *features = self.net.initial_state(height, width, streams)
        return (
            torch.full_like(fused, 128.0),
            torch.full((1, 1, 1, 1), 255.0),
            torch.full((streams, 1 if self.net.spec.layout == "gray" else 3), 0.05),
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
            noise_std: of the planes, ``(1, P)`` in [0, 1].
            strength: ``(1, 1, 1, 1)``, see `RecurrentDenoiser.forward`.
            fused: as pixels, in [0, 1], not clipped.
            frames: see `RecurrentDenoiser.forward`.
            hidden: the same.
            hidden_low: the same.

        Returns:
            The pixels denoised, rounded and clipped to [0, peak], and the next state.
        """
        layout = self.net.spec.layout
        basis = self.basis
        denoised, (next_fused, *features) = self.net.advance(
            (pixels * (1.0 / peak) - fused) @ basis.T,
            packed_noise_std(noise_std, layout),
            fused @ basis.T,
            frames,
            hidden,
            hidden_low,
            strength,
        )
        clean = torch.round((denoised @ basis).clamp(0.0, 1.0) * peak)
        return clean, next_fused @ basis, *features
