"""The recurrent residual network: one pure step with explicit state.

A step fuses the new frame with a running, motion-gated mean of the past (a scalar
Kalman filter in the mean's "effective number of frames"), then a small two-scale CNN
with hidden features of its own predicts what is still noise. All state tensors are
zero for a fresh start, so a reset is a fresh start.

Everything runs on planes packed to a quarter of their size (`pack`), where wide
convolutions are cheap: yuv420 gives 24 channels, rgb 48, gray 16.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, Tensor, Tensor, Tensor]

LAYOUT_CHANNELS = {"yuv420": 24, "rgb": 48, "gray": 16}
"""Packed channels of a layout: 16 luma phases and twice 4 chroma phases for yuv420."""

STATE_NAMES = ("fused", "frames", "hidden", "hidden_low")


def plane_names(layout: str) -> tuple[str, ...]:
    """Names of a layout's planes in deployed graphs."""
    return {"yuv420": ("y", "u", "v"), "rgb": ("rgb",), "gray": ("y",)}[layout]


MULTIPLE = 8
"""Luma width and height must be multiples of this; callers pad."""

MAX_FRAMES = 64.0
"""The running mean forgets beyond this many frames, so it can follow slow change."""

MIN_SIGMA = 0.5 / 255
"""Differences are never measured against less noise than rounding itself makes."""


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

    def state_shapes(self, height: int, width: int, batch: int = 1) -> list[list[int]]:
        """Shapes of the state for a luma plane of `height` x `width` pixels."""
        h, w = height // 4, width // 4
        return [
            [batch, self.channels, h, w],
            [batch, 1, h, w],
            [batch, self.hidden, h, w],
            [batch, self.hidden_low, h // 2, w // 2],
        ]


def pack(planes: tuple[Tensor, ...]) -> Tensor:
    """Pack planes to channels at a quarter of the luma size.

    Args:
        planes: yuv420 ``(N, 1, H, W)`` and twice ``(N, 1, H/2, W/2)``;
            rgb ``(N, 3, H, W)``; gray ``(N, 1, H, W)``. H and W divide by 4.

    Returns:
        ``(N, C, H/4, W/4)``; yuv420: 16 luma phases in raster order, then 4 of U and
        4 of V.
    """
    height = planes[0].shape[-2]
    return torch.cat(
        [F.pixel_unshuffle(p, 4 if p.shape[-2] == height else 2) for p in planes], 1
    )


def unpack(packed: Tensor, layout: str) -> tuple[Tensor, ...]:
    """Inverse of `pack`."""
    if layout != "yuv420":
        return (F.pixel_shuffle(packed, 4),)
    y, u, v = packed.split((16, 4, 4), 1)
    return F.pixel_shuffle(y, 4), F.pixel_shuffle(u, 2), F.pixel_shuffle(v, 2)


def phases(layout: str) -> tuple[int, ...]:
    """Packed channels of each plane of a layout."""
    return {"yuv420": (16, 4, 4), "rgb": (16, 16, 16), "gray": (16,)}[layout]


def packed_sigma(sigma: Tensor, layout: str) -> Tensor:
    """Spread sigmas of planes over packed channels.

    Args:
        sigma: ``(N, P)`` standard deviations in [0, 1], one a plane (yuv420: Y, U, V;
            rgb: R, G, B; gray: one).

    Returns:
        ``(N, C, 1, 1)``.
    """
    columns = [
        sigma[:, i : i + 1].expand(-1, count) for i, count in enumerate(phases(layout))
    ]
    return torch.cat(columns, 1)[:, :, None, None]


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


class RecurrentDenoiser(nn.Module):
    """The step network. Stateless itself: state goes in and comes out."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        c, w, low = spec.channels, spec.width, spec.width_low
        self.gate_in = _conv(c + 1, spec.gate)
        self.gate_out = _conv(spec.gate, 1)
        # Block means come in by a convolution of their own: the other one sees details
        # only, whose filters INT8 can round without shifting the brightness.
        self.head = _conv(2 * c + 3 + spec.hidden, w)
        self.head_mean = nn.Conv2d(
            len(phases(spec.layout)), w, 3, padding=1, bias=False
        )
        self.encode = _conv(w, w)
        self.down = _conv(w, low, stride=2)
        self.low1 = _conv(low + spec.hidden_low, low)
        self.low2 = _conv(low, low)
        self.up = nn.Conv2d(low, 4 * w, 1)
        self.decode1 = _conv(w, w)
        self.decode2 = _conv(w, w)
        self.tail = _conv(w, c + len(phases(spec.layout)))
        # Starts close to the identity on the fused frame, with hardly any shrinking.
        with torch.no_grad():
            for parameter in self.tail.parameters():
                parameter.mul_(0.1)
            assert self.tail.bias is not None
            self.tail.bias[c:] = -3.0

    def initial_state(
        self, height: int, width: int, batch: int = 1, device: str = "cpu"
    ) -> State:
        """A fresh start: zeros of `ModelSpec.state_shapes`."""
        shapes = self.spec.state_shapes(height, width, batch)
        fused, frames, hidden, low = (torch.zeros(s, device=device) for s in shapes)
        return fused, frames, hidden, low

    def forward(
        self,
        noisy: Tensor,
        sigma: Tensor,
        fused: Tensor,
        frames: Tensor,
        hidden: Tensor,
        hidden_low: Tensor,
    ) -> tuple[Tensor, State]:
        """Denoise one packed frame.

        Args:
            noisy: ``(N, C, h, w)`` in [0, 1], packed.
            sigma: ``(N, C, 1, 1)`` noise std in [0, 1], from `packed_sigma`.
            fused: ``(N, C, h, w)`` the running mean of the past.
            frames: ``(N, 1, h, w)`` how many frames that mean is worth; 0 at the start.
            hidden: ``(N, hidden, h, w)``.
            hidden_low: ``(N, hidden_low, h/2, w/2)``.

        Returns:
            The denoised packed frame, not clipped, and the next state.
        """
        # Kalman gain of a constant signal seen `n` times is 1/(n+1); the gate takes
        # frames away from `n` where the picture moved.
        change = ((noisy - fused).abs() / sigma.clamp(min=MIN_SIGMA)).clamp(max=8.0)
        seen = F.relu(self.gate_in(torch.cat([0.25 * change, 1.0 / (1.0 + frames)], 1)))
        trusted = torch.sigmoid(self.gate_out(seen).float()) * frames
        gain = 1.0 / (1.0 + trusted)
        fused = fused + gain * (noisy - fused)
        frames = (1.0 + trusted).clamp(max=MAX_FRAMES)

        # Noise levels as maps: (luma, chroma) in units in which 25/255 is about 0.5.
        levels = torch.cat([sigma[:, :1], sigma[:, -1:]], 1) * 5.0
        levels = levels.expand(-1, -1, noisy.shape[2], noisy.shape[3])
        groups = phases(self.spec.layout)
        means = [block.mean(1, keepdim=True) for block in fused.split(groups, 1)]
        centre = torch.cat(
            [mean.expand(-1, n, -1, -1) for mean, n in zip(means, groups, strict=True)],
            1,
        )
        detail = fused - centre
        x = self.head(torch.cat([detail, noisy - centre, gain, levels, hidden], 1))
        x = F.relu(x + self.head_mean(torch.cat(means, 1)))
        skip = F.relu(self.encode(x))
        x = F.relu(self.down(skip))
        x = F.relu(self.low1(torch.cat([x, hidden_low], 1)))
        x = F.relu(self.low2(x))
        hidden_low = x[:, : self.spec.hidden_low]
        skip = skip + F.pixel_shuffle(self.up(x), 2)
        x = F.relu(self.decode1(F.relu(skip)))
        x = F.relu(self.decode2(x) + skip)
        hidden = x[:, : self.spec.hidden]
        # What is flat needs no detail of the noisy frame: each block of a plane may
        # shrink to its mean, so the features need not carry all of its noise.
        sizes = (fused.shape[1], *[1] * len(groups))
        change, *shrink = self.tail(x).float().split(sizes, 1)
        lost = [
            torch.sigmoid(amount) * block
            for amount, block in zip(shrink, detail.split(groups, 1), strict=True)
        ]
        # All in units of the noise: quiet pictures can hardly be harmed.
        bound = 4.0 * sigma
        shrunk = torch.maximum(torch.minimum(torch.cat(lost, 1), bound), -bound)
        denoised = fused - shrunk + change * (2.0 * sigma)
        return denoised, (fused, frames, hidden, hidden_low)

    def unroll(
        self, noisy: Tensor, sigma: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Denoise a clip frame by frame.

        Args:
            noisy: ``(N, T, C, h, w)`` packed, in [0, 1].
            sigma: ``(N, C, 1, 1)``.

        Returns:
            ``(N, T, C, h, w)`` and the last state.
        """
        n, _, _, h, w = noisy.shape
        last = state or self.initial_state(4 * h, 4 * w, n, str(noisy.device))
        outputs = []
        for frame in noisy.unbind(1):
            denoised, last = self(frame, sigma, *last)
            outputs.append(denoised)
        return torch.stack(outputs, 1), last


def kmac_per_pixel(spec: ModelSpec) -> float:
    """Thousands of multiply-accumulates of the convolutions per luma pixel."""
    net = RecurrentDenoiser(spec)
    low = {"down", "low1", "low2", "up"}
    macs = 0.0
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            macs += module.weight.numel() / (64 if name in low else 16)
    return macs / 1000


class DeployedGraph(nn.Module):
    """What every backend runs: planes and state in, planes and state out.

    Planes are integers held in float32 (0 to `peak`), so that one artefact serves 8
    and 10 bits; backends that can, put the cast from and to integers into the graph.
    """

    def __init__(self, net: RecurrentDenoiser) -> None:
        super().__init__()
        self.net = net

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in order."""
        return [*plane_names(self.net.spec.layout), "peak", "sigma", *STATE_NAMES]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        names = (*plane_names(self.net.spec.layout), *STATE_NAMES)
        return [f"{name}_out" for name in names]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run a step.

        Args:
            *inputs: the planes ``(1, 1, H, W)``, ``(1, 1, H/2, W/2)``, ... (rgb:
                ``(1, 3, H, W)``) in 0 to peak; peak ``(1, 1, 1, 1)``, 255 or 1023;
                sigmas of the planes ``(1, P)`` in [0, 1]; the four state tensors.

        Returns:
            The planes denoised, rounded and clipped to [0, peak], and the next state.
        """
        *planes, peak, sigma, fused, frames, hidden, hidden_low = inputs
        layout = self.net.spec.layout
        noisy = pack(tuple(planes)) * (1.0 / peak)
        denoised, state = self.net(
            noisy, packed_sigma(sigma, layout), fused, frames, hidden, hidden_low
        )
        levels = torch.round(denoised.clamp(0.0, 1.0) * peak)
        return (*unpack(levels, layout), *state)
