"""Peers by name; their packages are imported when one is used."""

from collections.abc import Sequence
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.measure.peers.peer import Peer


def find_peers(
    names: Sequence[str], vapoursynth: Path | None = None
) -> tuple[list[Peer], list[str]]:
    """The peers with these names, each once.

    Args:
        names: Names of peers; ``all`` stands for every one that can run, and
            ``none`` for no one.
        vapoursynth: A Python that has VapourSynth; adds V-BM3D, named or not.

    Returns:
        The peers; and which of ``all`` cannot run, and why.

    Raises:
        ConfigError: There is no peer of that name; V-BM3D is named without
            `vapoursynth`, or that Python lacks it; FFmpeg is missing, or its build
            lacks a filter that is named.
    """
    from streamdenoise.measure.peers.ffmpeg import (
        FFMPEG_PEERS,
        FFmpegPeer,
        ffmpeg_filters,
    )
    from streamdenoise.measure.peers.opencv import (
        OpenCVColoredNonLocalMeans,
        OpenCVNonLocalMeans,
    )
    from streamdenoise.measure.peers.vbm3d import NAME, VBM3D

    known: dict[str, Peer] = {peer.name: peer for peer in FFMPEG_PEERS}
    for opencv in (OpenCVNonLocalMeans(), OpenCVColoredNonLocalMeans()):
        known[opencv.name] = opencv
    if vapoursynth is not None:
        vbm3d = VBM3D(vapoursynth)
        vbm3d.check()
        known[NAME] = vbm3d
    elif NAME in names:
        raise ConfigError(
            f"{NAME} runs in VapourSynth; give --vapoursynth the path of a "
            "Python that has vapoursynth and vapoursynth-bm3dcpu"
        )
    wanted = [*names, *([NAME] if vapoursynth is not None else [])]
    found: dict[str, Peer] = {}
    for name in wanted:
        if name not in ("all", "none", *known):
            raise ConfigError(
                f"no peer is named {name!r}; choose from all, none, {', '.join(known)}"
            )
        if name != "none":
            found |= known if name == "all" else {name: known[name]}
    wrapped = [name for name, peer in found.items() if isinstance(peer, FFmpegPeer)]
    filters = ffmpeg_filters() if wrapped else frozenset()
    left_out = []
    for name in wrapped:
        if name in filters:
            continue
        reason = f"this build of FFmpeg has no {name} filter"
        if name in names:
            raise ConfigError(f"{reason}; leave {name} out, or take another build")
        left_out.append(f"{name}: {reason}")
        del found[name]
    return list(found.values()), left_out
