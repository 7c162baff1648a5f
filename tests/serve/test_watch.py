"""Noticing that the file of cameras has changed."""

from pathlib import Path

from streamdenoise.serve.config.watch import FileWatch


def test_a_change_counts_once_and_not_if_it_was_read_already(tmp_path: Path) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text("1")
    watch = FileWatch(file)
    file.write_text("12")
    assert [watch.has_changed() for _ in range(4)] == [False, True, False, False]
    file.write_text("123")
    watch.accept()
    assert [watch.has_changed() for _ in range(3)] == [False, False, False]
    file.write_text("1234")
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]
