"""Hooks of MkDocs: pages that show files of the repository, and the command line.

The pages are written so that their links work in the repository too. On the site,

- a paragraph that is nothing but a link to a Markdown file outside `docs/` is replaced
  by that file;
- images outside `docs/` are copied into the site;
- other links out of `docs/` become the path of the file, as there is nothing to open;
- `<!-- command line -->` is replaced by the options of every command,
  `<!-- licenses -->` by the data behind each model.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
IMAGES = ("samples/night_street.png", "samples/cctv.png")
"""Files outside `docs/` that pages show."""

_INCLUDE = re.compile(r"^\[[^\]]+\]\((\.\./[^)#]+\.md)\)$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!\w+:)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the images outside `docs/`."""
    for path in IMAGES:
        target = f"images/{Path(path).name}"
        files.append(File.generated(config, target, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Replace what only works in the repository by what works on the site."""
    own = Path("docs", page.file.src_uri)
    below = "#" if markdown.startswith("# ") else ""
    markdown = _INCLUDE.sub(lambda match: _included(own, match[1], below), markdown)
    if "<!-- command line -->" in markdown:
        markdown = markdown.replace("<!-- command line -->", _command_line())
    if "<!-- licenses -->" in markdown:
        from streamdenoise.cli.licenses import licenses_markdown

        markdown = markdown.replace("<!-- licenses -->", licenses_markdown())
    return _on_site(markdown, own, own)


def _command_line() -> str:
    """The reference; unlike on Git hosts, a ``|`` in code does not end a cell here."""
    from streamdenoise.cli.reference import command_line_reference

    code = re.compile(r"`[^`\n]*`")
    return code.sub(
        lambda match: match[0].replace(r"\|", "|"), command_line_reference()
    )


def _included(own: Path, link: str, below: str) -> str:
    """The file that `link` names; its headings are put `below` those of the page."""
    source = Path(_resolved(own, link))
    text, *fenced = re.split(r"(?m)^(?=```)", (ROOT / source).read_text())
    # Lines with a # in code blocks are not headings: every other part is code.
    parts = [text, *fenced]
    parts[::2] = [re.sub(r"(?m)^#", f"{below}#", part) for part in parts[::2]]
    return _on_site("".join(parts), source, own)


def _on_site(markdown: str, source: Path, own: Path) -> str:
    """Rewrite the links of `source` for the page `own`."""

    def rewrite(match: re.Match[str]) -> str:
        image, text, link, anchor = match[1], match[2], match[3], match[4] or ""
        path = _resolved(source, link)
        if path in IMAGES:
            path = f"docs/images/{Path(path).name}"
        if path.startswith("docs/"):
            relative = posixpath.relpath(path, own.parent.as_posix())
            return f"{image}[{text}]({relative}{anchor})"
        return text if path in text else f"{text} (`{path}`)"

    return _LINK.sub(rewrite, markdown)


def _resolved(source: Path, link: str) -> str:
    """Path of a link's target from the root of the repository."""
    return posixpath.normpath(posixpath.join(source.parent.as_posix(), link))
