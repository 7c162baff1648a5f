"""The step network: packing, state, unrolling, shapes of every layout."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from streamdenoise import Denoiser
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.frame import ColorInfo, Frame
from streamdenoise.imaging.channels import OPPONENT
from streamdenoise.imaging.coefficients import band_of_channels, mean_channels
from streamdenoise.imaging.motion import FlowEstimator
from streamdenoise.imaging.noise_profile import measured_profile
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.network.checkpoint import save_checkpoint
from streamdenoise.network.model import (
    DeployedGraph,
    ModelSpec,
    RecurrentDenoiser,
    kmac_per_pixel,
)
from streamdenoise.network.packing import (
    pack,
    packed_noise_std,
    seen_channels,
    unpack,
)
from train.clips.batch import Batch
from train.degradation.planes import plane_format
from train.unroll import unroll
from train.warp_state import find_flows, warp_state

TINY = ModelSpec("tiny", width=16, width_low=16, hidden=8, hidden_low=8, gate=4)


def tiny_net(layout: str = "yuv420") -> RecurrentDenoiser:
    torch.manual_seed(0)
    return RecurrentDenoiser(replace(TINY, layout=layout)).eval()


def bias_of(layer: torch.nn.Conv2d) -> torch.Tensor:
    assert layer.bias is not None
    return layer.bias


def test_pack_gives_cosine_coefficients_by_rising_frequency() -> None:
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    y = (0.5 + 0.01 * rows + 0.02 * columns)[None, None]
    u = torch.full((1, 1, 4, 4), 0.3)
    v = torch.full((1, 1, 4, 4), 0.7)
    packed = pack((y, u, v))
    assert packed.shape == (1, 2, 2, 24)
    # A mean of n x n pixels is n times as long; the ramp of a block, sum(x cos) of the
    # first row of an orthonormal DCT-II of length 4, times 2 for the constant rows.
    ramp = (
        2
        * math.sqrt(0.5)
        * sum(n * math.cos(math.pi * (n + 0.5) / 4) for n in range(4))
    )
    golden = torch.zeros(24)
    golden[[0, 16, 20]] = torch.tensor([4 * (0.5 + 1.5 * 0.03), 2 * 0.3, 2 * 0.7])
    odd = (
        2
        * math.sqrt(0.5)
        * sum(n * math.cos(3 * math.pi * (n + 0.5) / 4) for n in range(4))
    )
    golden[[1, 3]] = 0.02 * torch.tensor([ramp, odd])
    golden[[4, 12]] = 0.01 * torch.tensor([ramp, odd])
    torch.testing.assert_close(packed[0, 0, 0], golden, atol=1e-6, rtol=0)


def test_pack_keeps_white_noise_white() -> None:
    generator = torch.Generator().manual_seed(0)
    planes = [
        0.1 * torch.randn(1, 1, *shape, generator=generator)
        for shape in ((512, 512), (256, 256), (256, 256))
    ]
    channels = pack(tuple(planes)).reshape(-1, 24)
    torch.testing.assert_close(
        channels.T @ channels / len(channels), 0.01 * torch.eye(24), atol=5e-4, rtol=0
    )


def test_rgb_has_luma_then_the_color_that_yuv420_holds_then_the_rest() -> None:
    rgb = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    packed = pack((rgb,))
    assert float(packed.square().sum()) == pytest.approx(float(rgb.square().sum()))
    mixed = torch.einsum("ij,njhw->nihw", torch.from_numpy(OPPONENT), rgb)
    luma, *color = mixed.split(1, 1)
    torch.testing.assert_close(packed[..., :16], pack((luma,)), atol=1e-5, rtol=1e-5)
    for i, plane in enumerate(color):
        coefficients = pack((plane,))
        coarse, fine = packed[..., 16 + 4 * i :][..., :4], packed[..., 24 + 12 * i :]
        torch.testing.assert_close(coarse, coefficients[..., [0, 1, 4, 5]])
        rest = [k for k in range(16) if k not in (0, 1, 4, 5)]
        torch.testing.assert_close(fine[..., :12], coefficients[..., rest])
    assert seen_channels("rgb") == 24
    assert mean_channels("rgb") == mean_channels("yuv420")


@pytest.mark.parametrize(
    ("layout", "shapes"),
    [
        ("yuv420", [(1, 1, 16, 24), (1, 1, 8, 12), (1, 1, 8, 12)]),
        ("rgb", [(1, 3, 16, 24)]),
        ("gray", [(1, 1, 16, 24)]),
    ],
)
def test_unpack_inverts_pack_and_the_graph_keeps_shapes(
    layout: str, shapes: list[tuple[int, ...]]
) -> None:
    planes = tuple(torch.randint(0, 256, shape).float() for shape in shapes)
    for before, after in zip(planes, unpack(pack(planes)), strict=True):
        torch.testing.assert_close(before, after, atol=1e-3, rtol=0)
    net = tiny_net(layout)
    noise_std = torch.full((1, 1 if layout == "gray" else 3), 0.1)
    graph = DeployedGraph(net)
    state = graph.initial_state(16, 24)
    pixels = torch.randint_like(state[0], 256)
    one = torch.ones(1, 1, 1, 1)
    clean, *after = graph(pixels, 255 * one, noise_std, one, *state)
    assert clean.shape == pixels.shape
    assert [o.shape for o in after] == [s.shape for s in state]
    assert torch.equal(clean, clean.round())
    assert clean.min() >= 0
    assert clean.max() <= 255


@pytest.mark.parametrize(
    ("layout", "sizes"),
    [("yuv420", [1, 5, 10, 8]), ("rgb", [1, 5, 10, 32]), ("gray", [1, 5, 10])],
)
def test_bands_separate_means_low_and_high_frequencies(
    layout: str, sizes: list[int]
) -> None:
    bands = band_of_channels(layout)
    assert np.bincount(bands).tolist() == sizes
    assert bands[:6] == [0, 1, 1, 2, 1, 1]
    assert ModelSpec(layout=layout).bands == len(sizes)


@torch.inference_mode()
def test_the_past_is_trusted_separately_in_each_band() -> None:
    net, batch = tiny_net(), clip_of(4)
    silence(net)
    net.gate_out.weight.zero_()
    bias_of(net.gate_out).copy_(torch.tensor([30.0, 30.0, -30.0, 30.0]))
    _, (fused, frames, _, _) = unroll(net, batch)
    high = [i for i, band in enumerate(band_of_channels("yuv420")) if band == 2]
    rest = [i for i in range(24) if i not in high]
    expected = batch.noisy.mean(1)
    torch.testing.assert_close(fused[..., rest], expected[..., rest])
    torch.testing.assert_close(fused[..., high], batch.noisy[:, -1][..., high])
    assert frames[0, 0, 0].tolist() == [4.0, 4.0, 1.0, 4.0]


@pytest.mark.parametrize("layout", ["yuv420", "rgb", "gray"])
def test_a_profile_of_white_noise_is_the_same_level_in_every_channel(
    layout: str,
) -> None:
    spread = packed_noise_std(torch.full((1, 7), 0.1), layout)
    torch.testing.assert_close(spread, torch.full_like(spread, 0.1))


def gaussian_blur(x: Tensor) -> Tensor:
    return torch.from_numpy(cv2.GaussianBlur(x[0].numpy(), (0, 0), 1.6))[None]


@pytest.mark.parametrize("layout", ["yuv420", "rgb"])
def test_a_profile_tells_the_noise_of_every_coefficient(layout: str) -> None:
    # Noise of two sizes of grain, in all planes alike.
    generator = torch.Generator().manual_seed(0)

    def grain(*shape: int) -> Tensor:
        fine, coarse = torch.randn(2, 1, *shape, generator=generator)
        return (0.02 * fine + 0.2 * gaussian_blur(coarse))[None]

    sides = (256, 256, 256) if layout == "rgb" else (256, 128, 128)
    seen = tuple(grain(side, side) for side in sides)
    planes = seen
    if layout == "rgb":
        colors = torch.from_numpy(OPPONENT)
        planes = (torch.einsum("ij,nihw->njhw", colors, torch.cat(seen, 1)),)
    profile = measured_profile([plane[:, 0].numpy() for plane in seen])
    assert profile[2] > 3 * profile[0]
    told = packed_noise_std(torch.from_numpy(profile)[None], layout).flatten()
    true = pack(planes).flatten(0, 2).std(0)
    octaves = (told / true).log2()
    assert octaves.abs().mean() < 0.4
    assert octaves[:16].abs().max() < 1.3  # means have more than scale 4 tells


def test_packed_noise_std_follows_the_planes() -> None:
    spread = packed_noise_std(torch.tensor([[0.1, 0.2, 0.3]]), "yuv420")
    assert spread.shape == (1, 1, 1, 24)
    np.testing.assert_allclose(
        spread.ravel(), [0.1] * 16 + [0.2] * 4 + [0.3] * 4, rtol=1e-6
    )


def clip_of(frames: int, size: int = 16) -> Batch:
    """A random clip with a fresh state and without a motion search."""
    noisy = torch.rand(1, frames, size // 4, size // 4, 24)
    return Batch(
        noisy=noisy,
        clean=noisy,
        noise_std=packed_noise_std(torch.tensor([[0.1, 0.05, 0.05]]), "yuv420"),
        search=torch.zeros(1, dtype=torch.long),
        state=tiny_net().initial_state(size, size),
    )


def moving_clip(frames: int, size: int, layout: str = "yuv420") -> Batch:
    """A smooth image that moves right by 2 pixels a frame, with a motion search."""
    wide = torch.rand(1, 1, size, size + 2 * frames)
    wide = torch.nn.functional.avg_pool2d(wide, 9, 1, 4, count_include_pad=False)
    packed = []
    for t in range(frames):
        luma = (wide[..., 2 * (frames - t) :][..., :size] * 4 - 1.5).clamp(0, 1)
        luma, chroma = luma.mul(255).round() / 255, luma[..., ::2, ::2]
        planes = (luma, chroma, chroma)
        if layout == "rgb":
            planes = (torch.cat([luma, luma.flip(-2), 1 - luma], 1),)
        packed.append(pack(planes))
    return replace(
        clip_of(frames, size),
        noisy=torch.stack(packed, 1),
        search=torch.ones(1).long(),
        state=tiny_net(layout).initial_state(size, size),
    )


@pytest.mark.parametrize("moving", [False, True])
@torch.inference_mode()
def test_stepping_with_state_equals_the_unrolled_training(moving: bool) -> None:
    net = tiny_net()
    batch = moving_clip(6, 64) if moving else clip_of(6)
    unrolled, last = unroll(net, batch)
    state, moved = batch.state, 0
    for t in range(6):
        if t:
            frame, before = batch.noisy[:, t], unrolled[:, t - 1]
            flow = find_flows(FlowEstimator(), frame, before, batch.search)
            moved += flow is not None
            state = warp_state(state, flow)
        stepped, state = net(batch.noisy[:, t], batch.noise_std, *state)
        torch.testing.assert_close(stepped, unrolled[:, t], atol=1e-6, rtol=0)
    for a, b in zip(state, last, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
    assert moved == (5 if moving else 0)


@pytest.mark.parametrize("layout", ["yuv420", "rgb"])
@torch.inference_mode()
def test_the_stream_equals_the_unrolled_training(tmp_path: Path, layout: str) -> None:
    """The path of the product: integer planes, OpenCV, the state outside the graph."""
    net, batch = tiny_net(layout), moving_clip(5, 64, layout)
    level = plane_format(layout).noise_stds(torch.tensor([5.0 / 255]))
    unrolled, _ = unroll(net, replace(batch, noise_std=packed_noise_std(level, layout)))
    save_checkpoint(tmp_path / "tiny.safetensors", net, {})
    manifest = {
        "name": "tiny",
        "layout": layout,
        "multiple": 8,
        "state": net.spec.state_channels(),
        "files": {"eager": "tiny.safetensors"},
    }
    artifact = Artifact(tmp_path, manifest)
    with Denoiser(
        artifact, EngineLoader(artifact, backend="eager"), noise=NoiseLevel(5)
    ) as denoiser:
        for t in range(5):
            planes = unpack(batch.noisy[:, t])
            levels = [p[0].mul(255).round().byte().numpy() for p in planes]
            levels = [x.transpose(1, 2, 0) if len(x) == 3 else x[0] for x in levels]
            pix_fmt = "rgb24" if layout == "rgb" else "yuv420p"
            frame = Frame(tuple(levels), pix_fmt, ColorInfo(), t, Fraction(1, 25), t, 0)
            (clean,) = denoiser.process(frame)
            expected = unpack(unrolled[:, t])[0][0].clamp(0, 1) * 255
            expected = expected.permute(1, 2, 0).squeeze(-1).numpy()
            difference = np.abs(clean.planes[0] - expected)
            assert difference.mean() < 0.5  # rounding alone is 0.25
            assert np.quantile(difference, 0.99) < 2


def silence(net: RecurrentDenoiser) -> None:
    """Make the network change nothing."""
    with torch.no_grad():
        for layer in (net.tail, net.threshold):
            layer.weight.zero_()
        bias_of(net.tail).zero_()
        bias_of(net.threshold).fill_(-30.0)


def trust(net: RecurrentDenoiser, *, always: bool) -> None:
    """Make the gate trust the past always, or never."""
    with torch.no_grad():
        net.gate_out.weight.zero_()
        bias_of(net.gate_out).fill_(30.0 if always else -30.0)


@torch.inference_mode()
def test_fully_trusted_static_scene_is_a_running_mean() -> None:
    net, batch = tiny_net(), clip_of(10)
    silence(net)
    trust(net, always=True)
    _, (fused, frames, _, _) = unroll(net, batch)
    torch.testing.assert_close(fused, batch.noisy.mean(1), atol=1e-5, rtol=0)
    assert frames.unique().tolist() == [10.0]


@pytest.mark.parametrize("silent", [False, True])
@torch.inference_mode()
def test_distrust_keeps_the_last_denoised_frame_only(silent: bool) -> None:
    net, batch = tiny_net(), clip_of(3)
    trust(net, always=False)
    if silent:
        silence(net)
    denoised, (fused, _, _, _) = unroll(net, batch)
    torch.testing.assert_close(fused, denoised[:, -1], atol=1e-6, rtol=0)
    unchanged = torch.allclose(fused, batch.noisy[:, -1], atol=1e-6)
    assert unchanged == silent


def test_without_noise_the_output_is_the_fused_frame() -> None:
    net = tiny_net()
    noisy = torch.rand(1, 4, 4, 24)
    noise_std = torch.zeros(1, 1, 1, 24)
    with torch.inference_mode():
        denoised, _ = net(noisy, noise_std, *net.initial_state(16, 16))
    torch.testing.assert_close(denoised, noisy, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_an_idle_noise_map_changes_nothing_and_a_trained_one_scales_the_level() -> None:
    net, batch = tiny_net(), clip_of(4)
    spec = replace(net.spec, noise_map=8)
    mapped = RecurrentDenoiser(spec).eval()
    mapped.load_state_dict(net.state_dict(), strict=False)
    plain, _ = unroll(net, batch)
    torch.testing.assert_close(unroll(mapped, batch)[0], plain)
    assert mapped.noise_map is not None
    # One octave more in every band is the same as twice the given level.
    torch.nn.init.ones_(bias_of(mapped.noise_map.correct))
    doubled, _ = unroll(net, replace(batch, noise_std=2 * batch.noise_std))
    torch.testing.assert_close(unroll(mapped, batch)[0], doubled)
    assert not torch.allclose(doubled, plain)


@pytest.mark.parametrize("noise_map", [0, 8])
@torch.inference_mode()
def test_strength_scales_the_level_that_the_network_works_with(noise_map: int) -> None:
    torch.manual_seed(0)
    net = RecurrentDenoiser(replace(TINY, noise_map=noise_map)).eval()
    batch = clip_of(1)
    start = net.initial_state(16, 16)
    noisy = batch.noisy[:, 0, :4, :4]
    strong, _ = net(noisy, batch.noise_std, *start, 3.0)
    given, _ = net(noisy, 3 * batch.noise_std, *start)
    torch.testing.assert_close(strong, given)
    assert not torch.allclose(strong, net(noisy, batch.noise_std, *start)[0])
    if net.noise_map is None:
        return
    # A map that corrects the level corrects the given one, whatever the strength.
    torch.nn.init.normal_(net.noise_map.correct.weight)
    factors = []
    keep = net.noise_map.register_forward_hook(lambda *x: factors.append(x[-1]))
    outputs = [net(noisy, batch.noise_std, *start, s)[0] for s in (1.0, 3.0)]
    keep.remove()
    torch.testing.assert_close(factors[0], factors[1])
    assert not torch.allclose(*outputs)


@pytest.mark.parametrize("noise_map", [0, 16])
def test_nano_is_within_its_budget(noise_map: int) -> None:
    spec = ModelSpec(noise_map=noise_map)
    assert kmac_per_pixel(spec) <= 10.0
    values = sum(int(np.prod(shape)) for shape in spec.state_shapes(1088, 1920))
    assert values * 2 <= 24e6  # bytes at fp16, 1080p


@pytest.mark.parametrize(
    "wrong", [{"layout": "nv12"}, {"hidden": 17, "width": 16}], ids=["layout", "hidden"]
)
def test_a_spec_that_cannot_be_built_is_rejected(wrong: dict[str, int | str]) -> None:
    with pytest.raises(ValueError, match=r"layout must be|hidden features"):
        ModelSpec(**wrong)  # type: ignore[arg-type]


class HostTensorsSeen(TorchDispatchMode):
    """Records operations that read a tensor on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001
        tensors = [
            a for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)
        ]
        if any(t.device.type == "cpu" and t.dim() for t in tensors):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("layout", ["yuv420", "rgb", "gray"])
@pytest.mark.parametrize("noise_map", [0, 8])
def test_a_step_takes_nothing_from_the_host(layout: str, noise_map: int) -> None:
    """CUDA graphs cannot contain copies from pageable host memory."""
    net = RecurrentDenoiser(ModelSpec(layout=layout, noise_map=noise_map))
    graph = DeployedGraph(net).eval().to("meta")
    inputs = [x.to("meta") for x in graph.example_inputs(64, 64)]
    with HostTensorsSeen() as seen, torch.inference_mode():
        graph(*inputs)
    assert seen.found == []
