"""The header that each AAC packet of a transport stream begins with (ISO 13818-7)."""

from dataclasses import dataclass
from typing import Self

_SYNC = 0xFFF


@dataclass(frozen=True, slots=True)
class AdtsHeader:
    """Says how a packet is encoded, which most containers say once a track."""

    config: bytes
    """AudioSpecificConfig, in two bytes (ISO 14496-3)."""
    size: int
    """Length of the header in bytes."""

    @classmethod
    def of(cls, data: bytes) -> Self | None:
        """The header at the beginning of `data`; None if there is none."""
        if len(data) < 7 or int.from_bytes(data[:2], "big") >> 4 != _SYNC:
            return None
        bits = int.from_bytes(data[:7], "big")
        has_checksum = not bits >> 40 & 1
        object_type = (bits >> 38 & 3) + 1
        rate, channels = bits >> 34 & 15, bits >> 30 & 7
        config = object_type << 11 | rate << 7 | channels << 3
        return cls(config.to_bytes(2, "big"), 9 if has_checksum else 7)
