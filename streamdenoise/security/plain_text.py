"""Text from outside, made safe to show: names of files, metadata, answers of servers.

On a terminal it could move the cursor or retitle the window; in a log a line break in
a name would begin a line that nobody wrote.
"""


def printable(text: str) -> str:
    """`text` with every character escaped that is not visible: it stays on its line.

    These are control characters, line breaks, marks that reverse the direction of
    writing, and bytes that were no text. They look as in a Python string: ``\\x1b``.
    """
    return text if text.isprintable() else text.translate(_ESCAPES)


def printable_lines(text: str) -> str:
    """The same for text of several lines, which keeps its line breaks."""
    return "\n".join(map(printable, text.split("\n")))


class _Escapes(dict[int, str]):
    """Code of a character -> how it is shown; filled as characters occur."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        shown = character.encode("unicode_escape").decode()
        self[code] = character if character.isprintable() else shown
        return self[code]


_ESCAPES = _Escapes()
