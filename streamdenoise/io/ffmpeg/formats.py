"""Which formats FFmpeg may take an input for: none that opens others, unless asked."""

from functools import cache

import av

# They name other files or servers, or are no files at all.
_REFERRING = {
    *("hls", "dash", "webm_dash_manifest", "concat", "imf", "vobsub", "image2"),
    *("sdp", "rtsp", "rtp", "sap", "lavfi", "alias_pix"),
}

_PLAYLISTS = {
    ".m3u8": "hls",
    ".m3u": "hls",
    ".ffconcat": "concat",
    ".sdp": "sdp",
}
"""Suffixes that say that an input is a list of others."""


def playlist_format(suffix: str) -> str | None:
    """The format of a playlist by the suffix of its name; None for other files."""
    return _PLAYLISTS.get(suffix.lower())


@cache
def format_whitelist(*playlists: str) -> str:
    """FFmpeg's list of all formats but those that open others, and of `playlists`."""
    return ",".join(sorted(av.formats_available - _REFERRING | set(playlists)))
