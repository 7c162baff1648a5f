"""Other denoisers to compare with, behind one small protocol; ours is not here."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.measure.peers.peer import Peer, StoredClip, store
    from streamdenoise.measure.peers.registry import find_peers
    from streamdenoise.measure.peers.search import best_options

__all__ = [
    "Peer",
    "StoredClip",
    "best_options",
    "find_peers",
    "store",
]

__getattr__ = exports(
    __name__,
    {
        "Peer": "peer",
        "StoredClip": "peer",
        "best_options": "search",
        "find_peers": "registry",
        "store": "peer",
    },
)
