"""JSON from outside: every fault is a ValueError that says what is wrong."""

import os
from pathlib import Path

import pytest

from streamdenoise.security.small_files import MAX_BYTES, read_json


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "no JSON object") for text in ("[]", "7", "null", '"x"')),
        *((text, "Expecting") for text in ("", "{", '{"a":}')),
        *((f'{{"a": {n}}}', "not a finite") for n in ("NaN", "-Infinity", "1e999")),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"a": 1' + "0" * 5000 + "}", "digits"),
        ("\xff", "decode"),
        (" " * (MAX_BYTES + 1), "more than 1 MiB"),
    ],
    ids=lambda text: text[:12],
)
def test_malformed_json_is_explained(tmp_path: Path, text: str, why: str):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=why):
        read_json(tmp_path / "x.json")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="no regular file"):
            read_json(path)
    with pytest.raises(IsADirectoryError):
        read_json(tmp_path)
