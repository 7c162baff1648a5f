"""Parts of the repository's pages: fenced blocks, commands, links, headings."""

import re
import shlex
from dataclasses import dataclass
from functools import cache

from tests.support.command import ROOT

PAGES = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md"),
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")),
    *("samples/README.md", "samples/monitoring.md"),
    *("engines/README.md", "engines/BENCH.md"),
    *("train/README.md", "train/classic/README.md", "tests/faults/FAULTS.md"),
)
"""Every page that a reader is meant to follow, relative to the root."""

SHELL = ("", "bash", "console", "sh")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
_INLINE_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    """Number of its first line, from 1."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str) -> list[Block]:
    text = text_of(page)
    return [
        Block(page, text.count("\n", 0, match.start()) + 2, match[1], match[2])
        for match in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[list[str]]:
    """The words of each command; pipes and lists are taken apart."""
    if block.language not in SHELL:
        return []
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("|;&"):
                command.append(word)
                continue
            while command and re.fullmatch(r"\w+=.*|do|then|env|nice", command[0]):
                del command[0]
            if command:
                found.append(command)
            command = []
    return found


def links(page: str) -> list[str]:
    """Targets of links to files and headings, fenced blocks left out."""
    return _LINK.findall(_FENCE.sub("", text_of(page)))


def inline_code(page: str) -> list[str]:
    return _INLINE_CODE.findall(_FENCE.sub("", text_of(page)))


def anchors(page: str) -> set[str]:
    """Names that a link may have after ``#``, as MkDocs and Git hosts make them."""
    headings = _HEADING.findall(_FENCE.sub("", text_of(page)))
    plain = [re.sub(r"[`*]|[^\w\s-]", "", heading).strip() for heading in headings]
    return {re.sub(r"\s+", "-", heading.lower()) for heading in plain}
