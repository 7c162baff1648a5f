"""The mark in a recording that says which job wrote it, and as which of its files."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_MARK = re.compile(rb"streamdenoise:([0-9a-f]{16}):(\d{1,15}):([0-9a-f]{8})")

# All containers have it near their beginning: Matroska after 0.5 kB, MP4 after 1 kB.
_HEAD_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Mark:
    """Identifies a recording. A copy under another name has a mark that differs."""

    owner: str
    """The job, see `owner_id`."""
    number: int
    """Place in the order in which the job made its recordings."""
    name_id: str
    """Hash of the name that the file had."""

    @classmethod
    def of(cls, owner: str, number: int, name: str) -> "Mark":
        """The mark of the recording `name`, which is relative to the job's folder."""
        return cls(owner, number, _hash(name, 8))

    @classmethod
    def read(cls, path: Path) -> "Mark | None":
        """Read the mark of a file; None if it has none, or cannot be read."""
        try:
            with path.open("rb") as file:
                match = _MARK.search(file.read(_HEAD_BYTES))
        except OSError:
            return None
        if match is None:
            return None
        return cls(match[1].decode(), int(match[2]), match[3].decode())

    def tags(self, suffix: str) -> dict[str, str]:
        """Metadata with the mark, for a container with this file extension."""
        text = f"streamdenoise:{self.owner}:{self.number}:{self.name_id}"
        if suffix.lower() == ".ts":  # it has no comments
            return {"service_provider": "streamdenoise", "service_name": text}
        return {"comment": text}


def owner_id(pattern: str, source: str) -> str:
    """Identify a job by the pattern of its names and by its source."""
    return _hash(f"{pattern}\0{source}", 16)


def _hash(text: str, digits: int) -> str:
    return sha256(text.encode(errors="surrogateescape")).hexdigest()[:digits]
