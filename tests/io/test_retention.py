"""Retention: parsing the limits, which recordings exceed them, and their names."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.io.recording.names import SegmentNames
from streamdenoise.io.recording.retention import (
    Keep,
    Recording,
    SuddenAges,
    clock_ages,
)

MOMENT = datetime(2031, 10, 26, 2, 30, 59, tzinfo=UTC)
HOUR_S, DAY_S = 3600.0, 86400.0
WEEK = Keep(max_age_s=7 * DAY_S)


@pytest.mark.parametrize(
    ("texts", "keep"),
    [
        ([], Keep()),
        (["7d"], Keep(604_800.0)),
        (["1.5h"], Keep(5400.0)),
        (["30m"], Keep(1800.0)),
        (["90s"], Keep(90.0)),
        (["50GB"], Keep(None, 50 * 10**9)),
        (["50 gb"], Keep(None, 50 * 10**9)),
        (["2GiB"], Keep(None, 2 * 2**30)),
        (["0.5TB"], Keep(None, 5 * 10**11)),
        (["700kB"], Keep(None, 700_000)),
        (["7d", "50GB"], Keep(604_800.0, 50 * 10**9)),
        (["7d", "2d", "3GB", "800MB"], Keep(172_800.0, 800 * 10**6)),
        (["20GBfree", "5 GB free"], Keep(min_free_bytes=20 * 10**9)),
        (["10%free", "2.5 % Free"], Keep(min_free_share=0.1)),
        (["7d", "10%free"], Keep(604_800.0, min_free_share=0.1)),
    ],
)
def test_limits_are_parsed(texts: list[str], keep: Keep) -> None:
    assert Keep.parse(texts) == keep
    assert bool(keep) == bool(texts)


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "d", "0d", "-1d", "7 days", "50G", "1e3MB", "7D", "nan", "7d|50GB"),
        *("\u0667d", "10%", "0%free", "100%free", "7dfree", "free", "%free", "10free"),
    ],
)
def test_other_limits_are_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match="neither an age nor a size; use for example"):
        Keep.parse(["7d", text])


FOUR = [
    Recording(name, size, 1000.0 - at)
    for name, size, at in (
        ("a", 10, 100),
        ("b", 20, 200),
        ("c", 30, 300),
        ("d", 40, 400),
    )
]


@pytest.mark.parametrize(
    ("keep", "present_bytes", "shortfall_bytes", "deleted"),
    [
        (Keep(), 10**9, 10, ""),
        (Keep(max_age_s=900), 0, 0, ""),
        (Keep(max_age_s=899), 0, 0, "a"),
        (Keep(max_age_s=1), 0, 0, "abcd"),
        (Keep(max_bytes=100), 0, 0, ""),
        (Keep(max_bytes=99), 0, 0, "a"),
        (Keep(max_bytes=100), 1, 0, "a"),
        (Keep(max_bytes=70), 0, 0, "ab"),
        (Keep(max_bytes=69), 0, 0, "abc"),
        (Keep(max_bytes=39), 0, 0, "abcd"),
        (Keep(max_age_s=750, max_bytes=45), 0, 0, "abc"),
        (Keep(max_age_s=650, max_bytes=10**6), 0, 0, "abc"),
        (Keep(max_bytes=1000), 0, -5, ""),
        (Keep(max_bytes=1000), 0, 10, "a"),
        (Keep(max_age_s=1e6), 0, 11, "ab"),
        (Keep(max_bytes=99), 0, 10, "a"),
        (Keep(min_free_share=0.1), 0, 10**6, "abcd"),
    ],
)
def test_the_oldest_are_deleted_first(
    keep: Keep, present_bytes: int, shortfall_bytes: int, deleted: str
) -> None:
    excess = keep.excess(
        FOUR, present_bytes=present_bytes, shortfall_bytes=shortfall_bytes, sudden=4
    )
    assert "".join(excess.names) == deleted


def test_space_that_cannot_be_freed_is_told() -> None:
    keep = Keep(min_free_share=0.1)
    lacking = [
        keep.excess(FOUR, shortfall_bytes=n).lacking_bytes for n in (-5, 99, 150)
    ]
    assert lacking == [0, 0, 50]


def test_space_is_kept_free_as_a_share_or_in_bytes() -> None:
    keep = Keep(min_free_bytes=300, min_free_share=0.25)
    assert [keep.free_bytes(size) for size in (1000, 2000)] == [300, 500]
    assert Keep(max_bytes=1).free_bytes(1000) == 0


def test_what_is_suddenly_old_by_the_wall_clock_is_deleted_at_a_tenth_per_hour() -> (
    None
):
    now = [0.0]
    pace = SuddenAges(lambda: now[0])
    month = [Recording(f"{n}", 1, 0.0, 30 * DAY_S) for n in range(100)]
    deleted = 0
    for minute in range(0, 181, 6):
        now[0] = minute * 60.0
        excess = WEEK.excess(month, sudden=pace.allowed(100))
        pace.spend(excess.sudden)
        assert excess.held_back == len(month) - excess.sudden
        month = month[excess.sudden :]
        deleted += excess.sudden
        assert deleted <= 10 * minute / 60 + 1e-6
    assert deleted >= 29


def test_an_allowance_that_was_not_used_does_not_pile_up() -> None:
    now = [0.0]
    pace = SuddenAges(lambda: now[0])
    now[0] = 1000 * HOUR_S
    assert pace.allowed(100) == 10
    assert SuddenAges(lambda: now[0]).allowed(100) == 0


def test_ages_of_more_than_a_year_by_the_wall_clock_alone_are_ignored() -> None:
    ahead = [Recording("a", 1, 60.0, 50 * 365 * DAY_S)]
    excess = WEEK.excess(ahead, sudden=10)
    assert (excess.names, excess.held_back) == ([], 1)


@pytest.mark.parametrize(
    ("walls", "ages"),
    [
        ([100, 200, 300], [900, 800, 700]),
        # The clock was ahead, and was put right: the times in the future say nothing.
        ([100, 5000, 5100, 300], [900, 900, 900, 700]),
        # The clock was behind: these are not older than the one before.
        ([100, 5, 6, 300], [900, 900, 900, 700]),
        ([5000, 300], [0, 700]),
        ([5000], [0]),
    ],
)
def test_ages_follow_the_order_of_recording(walls: list[float], ages: list[float]):
    assert clock_ages(walls, now_s=1000.0) == ages


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("%Y-%m-%d_%H-%M-%S.mkv", "2031-10-26_02-30-59.mkv"),
        ("cam %F/%H/%M%S.mp4", "cam 2031-10-26/02/3059.mp4"),
        ("100%%/%j-%s.ts", f"100%/299-{MOMENT.timestamp():.0f}.ts"),
        ("a.b+c/%y%m%d%z.mov", "a.b+c/311026+0000.mov"),
        ("größe-%H%M%S-%f.mkv", "größe-023059-000000.mkv"),
    ],
)
def test_names_are_created_and_found(tmp_path: Path, pattern: str, name: str) -> None:
    names = SegmentNames(f"{tmp_path}/".replace("%", "%%") + pattern)
    path = tmp_path / name
    assert names.free_path(MOMENT) == path
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, ending = path.stem, path.suffix
    matching = [
        name,
        f"{stem}-n2{ending}",
        f"{stem}.part{ending}",
        f"{stem}-n12.part3{ending}",
    ]
    other = [
        *(f"{stem}{ending}.txt", f"{stem}x{ending}", f"x{name}", f"{stem}.jpg"),
        f"{stem}-2{ending}",
    ]
    for each in [*matching, *other]:
        (path.parent / Path(each).name).write_bytes(b"x")
    (path.parent / f"{stem}-n3{ending}").symlink_to(path)
    (path.parent / f"{stem}-n4{ending}").mkdir()
    found = sorted(each.name for each in names.find())
    assert found == sorted(Path(each).name for each in matching)


@pytest.mark.parametrize(
    ("pattern", "name", "is_found"),
    [
        ("%Y-%m-%d.mkv", "2026-11-27.mkv", True),
        ("%Y-%m-%d.mkv", "2026-11-27-120000.mkv", False),
        ("%Y-%m-%d.mkv", "2026-11-27-12.mkv", False),
        ("%Y-%m-%d.mkv", "2026-02-30.mkv", False),
        ("%Y-%m-%d.mkv", "2024-02-29.mkv", True),
        ("%Y-%m-%d.mkv", "2026-13-01.mkv", False),
        ("%Y-%m-%d.mkv", "0000-01-01.mkv", False),
        ("%Y-%m-%d.mkv", "٢٠٢٦-11-27.mkv", False),
        ("%H-%M-%S.mkv", "24-00-00.mkv", False),
        ("%H-%M-%S.mkv", "23-59-60.mkv", False),
        ("%Y-%j.mkv", "2026-366.mkv", False),
        ("%Y-%j.mkv", "2024-366.mkv", True),
        ("%F_%j.mkv", "2026-02-01_032.mkv", True),
        ("%F_%j.mkv", "2026-02-01_033.mkv", False),
        ("%F/%F_%H.mkv", "2026-11-27/2026-11-27_05.mkv", True),
        ("%F/%F_%H.mkv", "2026-11-27/2026-11-28_05.mkv", False),
        ("%Y/%y%m.mkv", "2026/2711.mkv", False),
        ("%H%z.mkv", "02+2500.mkv", False),
    ],
)
def test_only_dates_that_exist_are_names(
    tmp_path: Path, pattern: str, name: str, is_found: bool
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    found = list(SegmentNames(f"{tmp_path}/{pattern}").find())
    assert found == [path] * is_found


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    names = SegmentNames(f"{tmp_path}/%H.mkv")
    (tmp_path / "02.mkv").touch()
    (tmp_path / "02-n2.part.mkv").touch()  # being written, will become 02-n2.mkv
    os.symlink("nowhere", tmp_path / "02-n3.mkv")
    assert names.free_path(MOMENT) == tmp_path / "02-n4.mkv"
    assert names.final_path(tmp_path / "02.part7.mkv") == tmp_path / "02-n4.mkv"
    assert names.final_path(tmp_path / "02-n2.part.mkv") == tmp_path / "02-n2.mkv"


def test_only_empty_dated_folders_are_deleted(tmp_path: Path) -> None:
    names = SegmentNames(f"{tmp_path}/clips/%Y/%m/cam/%d.mkv")
    path = names.free_path(MOMENT)
    path.parent.mkdir(parents=True)
    other = path.with_name("27.mkv")
    path.touch()
    other.touch()
    names.delete(path)
    assert other.exists()
    names.delete(other)
    assert (tmp_path / "clips").is_dir()
    assert not list((tmp_path / "clips").iterdir())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("clips/all.mkv", "the same name; add a time"),
        ("clips/100%%.mkv", "the same name; add a time"),
        ("clips/%A.mkv", "it contains %A; use %Y"),
        ("clips/%H%", "it contains %; use %Y"),
        ("clips/%-d.mkv", "it contains %-; use %Y"),
    ],
)
def test_invalid_patterns_are_rejected(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SegmentNames(pattern)
