"""The Markdown of a report as one page of HTML that needs nothing from elsewhere.

It knows what reports are made of: headings, paragraphs, lists, tables, images, bold
words and code.
"""

import html
import re
from collections.abc import Iterator
from itertools import groupby

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; padding: 0 1.5em;
  max-width: 1560px; color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #999; vertical-align: bottom; }
tr:hover td { background: #f3f6f6; }
img { max-width: 100%; display: block; }
code { background: #f0f0f0; padding: 0 .25em; }
p, li { max-width: 62em; }
"""
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`([^`]+)`")
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)")


def to_html(markdown: str) -> str:
    """The page; its title is the first heading."""
    lines = markdown.splitlines()
    title = next((line[2:] for line in lines if line.startswith("# ")), "Report")
    first, *others = _blocks(lines)
    body = "\n".join([first, _contents(lines), *others])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _contents(lines: list[str]) -> str:
    """Links to the sections, if there are several: the first one may be long."""
    titles = [line[3:] for line in lines if line.startswith("## ")]
    links = [f'<a href="#{_anchor(title)}">{_inline(title)}</a>' for title in titles]
    return f"<nav>{' · '.join(links)}</nav>" if len(links) > 1 else ""


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def _blocks(lines: list[str]) -> Iterator[str]:
    for kind, group in groupby(lines, _kind):
        block = list(group)
        if kind == "heading":
            for line in block:
                marks, text = line.split(" ", 1)
                anchor = f' id="{_anchor(text)}"' if len(marks) == 2 else ""
                yield f"<h{len(marks)}{anchor}>{_inline(text)}</h{len(marks)}>"
        elif kind == "list":
            items = "".join(f"<li>{_inline(line[2:])}</li>" for line in block)
            yield f"<ul>{items}</ul>"
        elif kind == "table":
            header, _, *rows = [_cells(line) for line in block]
            yield f"<table><thead>{_row(header, 'th')}</thead><tbody>"
            yield from (_row(row, "td") for row in rows)
            yield "</tbody></table>"
        elif kind == "text":
            yield f"<p>{_inline(' '.join(block))}</p>"


def _kind(line: str) -> str:
    if not line:
        return "gap"
    for start, kind in (("#", "heading"), ("- ", "list"), ("|", "table")):
        if line.startswith(start):
            return kind
    return "text"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _row(cells: list[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{_inline(cell)}</{tag}>' for cell in cells)}</tr>"


def _inline(text: str) -> str:
    text = html.escape(text)
    text = _IMAGE.sub(r'<a href="\2"><img src="\2" alt="\1" loading="lazy"></a>', text)
    text = _LINK.sub(r'<a href="\2">\1</a>', text)
    text = _BOLD.sub(r"<b>\1</b>", text)
    return _CODE.sub(r"<code>\1</code>", text)
