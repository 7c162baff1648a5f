"""Sums and tables of the layer profile; no test of speed."""

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.measure.speed.layers import LayerProfile, group_of, profile_layers


@pytest.mark.parametrize(
    ("kind", "kernel", "group"),
    [
        ("Convolution", "brgconv_avx512_1x1_I8", "convolutions, INT8"),
        ("Convolution", "brgconv_avx512_f32", "convolutions, FP32"),
        (
            "FullyConnectedQuantizedLegacy",
            "brgemm_avx512_I8",
            "transforms and other matrix products",
        ),
        ("Concat", "ref_I8", "reorders, concatenations, slices"),
        ("Subgraph", "jit_avx512_f32", "element-wise"),
        ("Strips", "compiled_f32", "float part in strips"),
        ("A kind to come", "ref_f32", "element-wise"),
    ],
)
def test_layers_are_grouped_by_kind(kind: str, kernel: str, group: str) -> None:
    assert group_of(kind, kernel) == group


def test_every_convolution_of_a_shipped_model_is_found() -> None:
    profile = profile_layers("nano-awgn", "97x65", steps=1, threads=1, peak_side=64)
    assert (profile.height, profile.width) == (64, 96)
    groups = [group for group, _ in profile.layers.values()]
    # The network has 13: one makes two rows, and that of the block means is FP32.
    assert groups.count("convolutions, INT8") == 13
    assert groups.count("convolutions, FP32") == 1
    assert "convolutions, INT8" in profile.markdown(longest=3)


def test_fractions_are_of_layers_and_blocks_together() -> None:
    profile = LayerProfile(
        model="m",
        height=720,
        width=1280,
        threads=2,
        step_ms=21.0,
        whole_ms=29.0,
        step_cpu_ms=40.0,
        whole_cpu_ms=50.0,
        cpu_ratio=0.8,
        blocks_ms=2.0,
        layers={
            "a": ("convolutions, INT8", 9.0),
            "b": ("convolutions, FP32", 1.0),
            "c": ("element-wise", 5.0),
            "d": ("element-wise", 3.0),
        },
        conv_gmac=5.0,
        peak_int8=1000.0,
        peak_fp32=200.0,
    )
    assert profile.groups["element-wise"] == 8.0
    assert profile.outside_share == pytest.approx(0.5)
    assert profile.conv_gmac_s == pytest.approx(500.0)
    assert "50% of the INT8 peak (1000 GMAC/s; FP32 200)" in profile.markdown()


def test_an_unknown_size_is_an_error() -> None:
    with pytest.raises(ConfigError, match="write 360p"):
        profile_layers("nano", "8k")
