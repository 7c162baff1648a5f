"""The page, the JSON file and the plots of an evaluation."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.measure.plots import figure_type, name_points
from streamdenoise.measure.quality.behavior import (
    Behavior,
    CleanInput,
    Ghosting,
    StaticScene,
)
from streamdenoise.measure.quality.evaluate import write_report
from streamdenoise.measure.quality.markdown import markdown
from streamdenoise.measure.quality.pairs import PairPeer, PairScore
from streamdenoise.measure.quality.published import PublishedScore
from streamdenoise.measure.quality.report import EvalReport
from streamdenoise.measure.quality.video import Score


def scores(clip: str, values: Sequence[float]) -> list[Score]:
    methods = ("noisy input", "nano (known sigma)", "nano (auto)", "hqdn3d")
    found = [
        Score(clip, 30, method, value, value, 0.5, psnr_yuv=value, fps=25.0)
        for method, value in zip(methods, values, strict=True)
    ]
    found[0] = replace(found[0], fps=None)
    found[2] = replace(found[2], sigma_estimated=33.6, psnr_estimated=values[2] + 1)
    return found


def peer(psnr: float) -> dict[str, PairPeer]:
    return {"nlmeans": PairPeer(psnr, {"s": 2.0})}


def test_wins_count_the_model_with_estimated_sigma() -> None:
    cases = scores("a", (20, 30, 28, 29)) + scores("b", (20, 30, 29, 28))
    report = EvalReport("nano", 4, scores=cases)
    assert report.wins() == {"hqdn3d": (1, 2)}
    text = markdown(report)
    assert "nano (auto) is better than hqdn3d in 1 of 2 cases" in text
    assert "| 30 | **mean** | 20.00 / 20.00 | **30.00** / 30.00 |" in text
    assert "| 30 | hqdn3d | 28.50 | 28.50 | 0.5000 | - | 25.0 |" in text
    assert "off by 1.00 dB on average" in text


def test_the_report_says_how_peers_were_tuned() -> None:
    cases = scores("a", (20, 30, 28, 29))
    flattered = EvalReport("nano", 4, scores=cases, clocks={"hqdn3d": "a watch"})
    assert "on the measured clip itself" in markdown(flattered)
    assert "- fps of hqdn3d: a watch" in markdown(flattered)
    tuned = replace(flattered, tuned_on="train")
    assert "options tuned on the clips of `train`" in markdown(tuned)


def test_every_section_is_on_the_page_and_in_the_files(tmp_path: Path) -> None:
    rising = tuple(30 + n / 10 for n in range(36))
    report = EvalReport(
        "nano",
        4,
        kmac_per_px=9.8,
        scores=scores("a", (20, 30, 28, 29)) + scores("b", (20, 30, 29.5, 28)),
        behavior=Behavior(
            static=[
                StaticScene("a", 30, rising, 10.0, 1.0),
                StaticScene("b", 30, (30.0,) * 36, 10.0, 10.0),
            ],
            ghosts=[
                Ghosting("a", "b", 30, 20.0, 10.0, 20.0, 0.1),
                Ghosting("b", "a", 30, 10.0, 10.0, 20.0, -0.2),
            ],
            clean=[
                CleanInput("a", float("inf"), 0.1),
                CleanInput("b", 48.0, 0.8),
            ],
        ),
        published=[
            PublishedScore("a", 20, 22.1, 33.0),
            PublishedScore("b", 20, 22.1, 35.0),
        ],
        pairs=[
            PairScore("x", 35.0, 36.0, 4.0, "indoor", peer(35.75)),
            PairScore("y", 36.0, 35.5, 1.0, "indoor", peer(36.25)),
        ],
        not_measured=["VMAF: no libvmaf"],
    )
    text = markdown(report)
    assert "| 30 | 30.00 dB | 31.45 dB | +0.00 dB (b) | +0.50 dB | 1 of 2 |" in text
    assert "| -10.0 dB |" in text  # half of 20 dB less variance
    assert (
        "| 15.0 | 10.0 | 20.0 | +1.51 dB | +3.01 dB (a) | -5.0% | -20.0% (b) |" in text
    )
    assert "| 30 | 12.0% | +12.0% (a) | 0 of 2 | -1.25 dB | -2.00 dB (a) |" in text
    assert "worst 48.00 dB (b); highest estimate 0.80" in text
    assert "| **mean** | 34.00 |" in text
    assert "output is rounded to 8 bits" in text.replace("\n", " ")
    assert "chosen in its middle of 256x256 pixels" in text
    assert "| indoor | 2 | 35.50 | +0.25 | **+0.50** | -0.50 | 1 | 1 |" in text
    assert "| x | 35.00 | **+1.00** | +0.75 | 4.0 |" in text
    assert "- not measured: VMAF: no libvmaf" in text

    write_report(report, tmp_path / "out")
    page = (tmp_path / "out" / "eval.html").read_text()
    assert '<a href="#published-protocol">Published protocol</a> · ' in page
    assert '<h2 id="published-protocol">Published protocol</h2>' in page
    stored = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert stored["behavior"]["clean"][0]["psnr_y"] == "inf"
    assert stored["pairs"][1]["psnr"] == 35.5
    assert stored["pairs"][1]["peers"]["nlmeans"]["options"] == {"s": 2.0}
    for name in ("fps.png", "static.png", "cost.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    (tmp_path / "taken" / "cost.png").mkdir(parents=True)
    with pytest.raises(ConfigError, match="choose another -o"):
        write_report(report, tmp_path / "taken")


def test_names_in_the_plot_do_not_cover_each_other() -> None:
    axes = figure_type()(dpi=100).add_subplot()
    points = {"a": (10.0, 30.0), "b": (10.0, 30.0), "c": (11.0, 30.1), "d": (10, 39)}
    axes.plot(*zip(*points.values(), strict=True), "o")
    name_points(axes, points)
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
