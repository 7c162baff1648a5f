"""A noise profile in a file, as `streamdenoise profile` writes it."""

import json
from dataclasses import dataclass
from pathlib import Path

from streamdenoise.denoisers.options import MAX_SIGMA
from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.security.small_files import read_json

VERSION = 1
LEVEL_NAMES = tuple(f"{'YUV'[plane]}{scale}" for plane, scale in LEVELS)
"""Plane and scale: ``Y1`` is the finest noise of luma."""


@dataclass(frozen=True, slots=True)
class SavedProfile:
    """The noise of a camera, and the frames that it was measured on."""

    levels: tuple[float, ...]
    """One for each of `LEVELS`, in 8-bit levels of RGB: white noise of this std in R, G
    and B has this level."""
    width: int
    height: int
    is_full_range: bool
    """Whether black was 0, not 16."""

    @classmethod
    def of(cls, levels: tuple[float, ...], frame: Frame) -> "SavedProfile":
        """The profile of frames like this one."""
        is_full_range = frame.color.is_full_range or not frame.pix_fmt.startswith("yuv")
        return cls(levels, frame.width, frame.height, is_full_range)

    @classmethod
    def read(cls, path: str | Path) -> "SavedProfile":
        """Read a file.

        Raises:
            ConfigError: it is missing, damaged, or of another version.
        """
        again = "measure it again with `streamdenoise profile`"
        try:
            saved = read_json(Path(path))
            version = saved["version"]
        except OSError as exc:
            raise ConfigError(
                f"the noise profile {path} cannot be read: {exc.strerror}"
            ) from exc
        except (ValueError, KeyError) as exc:
            raise ConfigError(f"{path} is not a noise profile; {again}") from exc
        if version != VERSION:
            raise ConfigError(
                f"the noise profile {path} has version {version}, this program reads "
                f"version {VERSION}; {again}"
            )
        try:
            levels = tuple(float(saved["levels"][name]) for name in LEVEL_NAMES)
            size = int(saved["width"]), int(saved["height"])
            is_full_range = saved["full_range"]
            if not all(0 <= level <= MAX_SIGMA for level in levels):
                raise ValueError(f"levels {levels} are not 0 to {MAX_SIGMA:g}")
            if not isinstance(is_full_range, bool):
                raise TypeError("full_range is neither true nor false")
        except (ValueError, KeyError, TypeError, OverflowError) as exc:
            raise ConfigError(f"the noise profile {path} is damaged; {again}") from exc
        return cls(levels, *size, is_full_range)

    def json(self) -> str:
        """The text of the file."""
        levels = zip(LEVEL_NAMES, self.levels, strict=True)
        saved = {
            "version": VERSION,
            "levels": {name: round(level, 3) for name, level in levels},
            "width": self.width,
            "height": self.height,
            "full_range": self.is_full_range,
        }
        return json.dumps(saved, indent=2) + "\n"

    def difference(self, frame: Frame) -> str:
        """What differs from a frame that it is used for; empty if nothing does."""
        used = self.of(self.levels, frame)
        if used == self:
            return ""
        about = [f"{each.width}x{each.height}" for each in (self, used)]
        if used.is_full_range != self.is_full_range:
            kinds = ("full", "limited") if self.is_full_range else ("limited", "full")
            about = [
                f"{size} in {k} range" for size, k in zip(about, kinds, strict=True)
            ]
        return (
            f"the noise profile was measured at {about[0]}, this is {about[1]}: "
            "measure it again if the noise looks different"
        )
