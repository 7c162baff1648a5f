"""Where each key of a TOML file is: the parser of Python's library does not say.

The text is known to be valid TOML, so a few tokens are enough.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys of tables and positions in arrays, from the root down to a value."""

_TOKEN = re.compile(
    r"(?P<space>[ \t]+|#[^\n]*)"
    r"|(?P<end>\r?\n)"
    r'|(?P<string>"{3}(?:\\.|[^\\])*?"{3,5}(?!")|\'{3}.*?\'{3,5}(?!\')'
    r'|"(?:\\.|[^"\\])*"|\'[^\']*\')'
    r"|(?P<mark>[\[\]{}=,.])"
    r"|(?P<bare>[^\s\[\]{}=,.#\"']+)",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of each key and of each value in an array.

    A table has the line of its first header, or of the first key that implies it.

    Args:
        text: valid TOML.
    """
    return _Scan(text).lines


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


class _Scan:
    """Goes through the text once; `lines` is the result."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._tokens = list(_tokens(text))
        self._at = 0
        table: KeyPath = ()
        lengths: dict[KeyPath, int] = {}
        """Of the arrays of tables so far."""
        while self._skip("end"):
            if self._text() == "[":
                table = self._header(lengths)
            else:
                self._pair(table)

    def _header(self, lengths: dict[KeyPath, int]) -> KeyPath:
        is_array = self._tokens[self._at + 1].text == "["
        self._at += 1 + is_array
        keys, line = self._keys()
        self._at += 1 + is_array
        path: KeyPath = ()
        for left, key in zip(range(len(keys), 0, -1), keys, strict=True):
            path = (*path, key)
            self._note(path, line)
            if path in lengths and (left > 1 or not is_array):
                path = (*path, lengths[path] - 1)  # the last one
        if is_array:
            number = lengths.get(path, 0)
            lengths[path] = number + 1
            path = (*path, number)
            self._note(path, line)
        return path

    def _pair(self, table: KeyPath) -> None:
        keys, line = self._keys()
        for count in range(1, len(keys) + 1):
            self._note((*table, *keys[:count]), line)
        self._at += 1  # the equals sign
        self._value((*table, *keys))

    def _value(self, path: KeyPath) -> None:
        opening = self._text()
        if opening == "[":
            self._at += 1
            number = 0
            while self._skip("end") and self._text() != "]":
                self._note((*path, number), self._tokens[self._at].line)
                self._value((*path, number))
                number += 1
                self._skip("end")
                self._at += self._text() == ","
            self._at += 1
        elif opening == "{":
            self._at += 1
            while self._skip("end") and self._text() != "}":
                self._pair(path)
                self._skip("end")
                self._at += self._text() == ","
            self._at += 1
        else:
            # Numbers have points, and times may have a space in the middle.
            while self._kind() in ("bare", "string") or self._text() == ".":
                self._at += 1

    def _keys(self) -> tuple[list[str], int]:
        """The names of a dotted key, and its line."""
        line = self._tokens[self._at].line
        keys: list[str] = []
        while True:
            token = self._tokens[self._at]
            keys.append(_name(token))
            self._at += 1
            if self._text() != ".":
                return keys, line
            self._at += 1

    def _note(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)

    def _skip(self, kind: str) -> bool:
        """Whether anything comes after all tokens of this kind."""
        while self._kind() == kind:
            self._at += 1
        return self._at < len(self._tokens)

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _text(self) -> str:
        """The text of a mark; empty for anything else."""
        return self._tokens[self._at].text if self._kind() == "mark" else ""


def _name(token: _Token) -> str:
    if token.kind == "string":
        parsed: dict[str, Any] = tomllib.loads(f"name = {token.text}")
        return str(parsed["name"])
    return token.text


def _tokens(text: str) -> Iterator[_Token]:
    line, position = 1, 0
    while match := _TOKEN.match(text, position):
        kind = match.lastgroup or ""
        if kind != "space":
            yield _Token(kind, match[0], line)
        line += match[0].count("\n")
        position = match.end()
