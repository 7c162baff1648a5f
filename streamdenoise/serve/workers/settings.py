"""What is set on the page instead of in the file, until the camera changes there."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from streamdenoise.jobs.config import LiveConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices for one camera; what is None is as in the file."""

    enabled: bool | None = None
    strength: float | None = None
    sigma: float | str | None = None
    model: str | None = None
    recording: bool = False

    def applied(self, config: LiveConfig) -> LiveConfig:
        """`config` with these choices.

        Raises:
            ConfigError: They do not fit the rest of it.
        """
        chosen: dict[str, Any] = {
            name: value
            for name in ("strength", "sigma", "model")
            if (value := getattr(self, name)) is not None
        }
        if self.sigma is not None:
            chosen |= {"noise_profile": None, "profile_region": None}
        return replace(config, denoise=replace(config.denoise, **chosen))

    def plain(self) -> dict[str, Any]:
        """For a message."""
        return asdict(self)

    @classmethod
    def of_plain(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)
