"""Tables of a run, as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamdenoise.files import replaced_whole


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Write dataclasses of one type, a line each; the header has their fields.

    Raises:
        SinkError: it could not be written; what was there is untouched.
    """
    table = io.StringIO()
    written = [asdict(row) for row in rows]
    writer = csv.DictWriter(table, list(written[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(written)
    with replaced_whole(path) as partial:
        partial.write_text(table.getvalue())
