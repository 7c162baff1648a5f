"""The results of an evaluation."""

from dataclasses import asdict, dataclass, field

from streamdenoise.console.json_text import json_text
from streamdenoise.measure.quality.behavior import Behavior
from streamdenoise.measure.quality.camera import CameraScore
from streamdenoise.measure.quality.pairs import PairScore
from streamdenoise.measure.quality.published import PublishedScore
from streamdenoise.measure.quality.real.clip import RealClip
from streamdenoise.measure.quality.video import AUTO, NOISY, Score


@dataclass(slots=True)
class EvalReport:
    """All figures in the order measured, and how they were measured."""

    model: str
    frames: int
    """Most frames taken of each clip."""
    layout: str = "yuv420"
    """Input format of the model."""
    kmac_per_px: float | None = None
    machine: dict[str, str] = field(default_factory=dict)
    tuned_on: str | None = None
    """Name of the folder on whose clips the peers' options were searched; None if it
    was each measured clip itself."""
    clocks: dict[str, str] = field(default_factory=dict)
    """The work that the seconds of each peer cover."""
    scores: list[Score] = field(default_factory=list)
    behavior: Behavior | None = None
    published: list[PublishedScore] = field(default_factory=list)
    cameras: list[CameraScore] = field(default_factory=list)
    pairs: list[PairScore] = field(default_factory=list)
    real: list[RealClip] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    """Everything that was left out, and why."""

    def json(self) -> str:
        """Everything, for programs; see `json_text`."""
        return json_text(asdict(self))

    def methods(self) -> list[str]:
        """Names of the video protocol's methods, in the order measured."""
        return list(dict.fromkeys(score.method for score in self.scores))

    def wins(self) -> dict[str, tuple[int, int]]:
        """Cases that the model with estimated sigma wins against each peer, and all."""
        by_case = {(s.clip, s.sigma, s.method): s.psnr_y for s in self.scores}
        ours = f"{self.model} {AUTO}"
        peers = [
            m for m in self.methods() if m != NOISY and not m.startswith(self.model)
        ]
        cases = list(dict.fromkeys((s.clip, s.sigma) for s in self.scores))
        return {
            peer: (
                sum(by_case[*case, ours] > by_case[*case, peer] for case in cases),
                len(cases),
            )
            for peer in peers
        }
