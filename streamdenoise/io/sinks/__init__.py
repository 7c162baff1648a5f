"""Sinks, each for one kind of output. Open them with `io.open_sink`.

Recording in segments is in `io.recording`, network streams are in `io.publishing`.
"""
