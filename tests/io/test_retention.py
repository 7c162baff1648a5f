"""Retention: parsing the limits, and which recordings exceed them."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.io.recording.names import SegmentNames
from streamdenoise.io.recording.retention import Keep, Recording, oldest_first

MOMENT = datetime(2031, 10, 26, 2, 30, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("texts", "age_s", "size_bytes"),
    [
        ([], None, None),
        (["7d"], 604_800.0, None),
        (["1.5h"], 5400.0, None),
        (["30m"], 1800.0, None),
        (["90s"], 90.0, None),
        (["50GB"], None, 50 * 10**9),
        (["50 gb"], None, 50 * 10**9),
        (["2GiB"], None, 2 * 2**30),
        (["0.5TB"], None, 5 * 10**11),
        (["700kB"], None, 700_000),
        (["7d", "50GB"], 604_800.0, 50 * 10**9),
        (["7d", "2d", "3GB", "800MB"], 172_800.0, 800 * 10**6),
    ],
)
def test_ages_and_sizes_are_parsed(
    texts: list[str], age_s: float | None, size_bytes: int | None
) -> None:
    keep = Keep.parse(texts)
    assert keep == Keep(age_s, size_bytes)
    assert bool(keep) == bool(texts)


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "d", "0d", "-1d", "7 days", "50G", "1e3MB", "7D", "nan", "7d|50GB"),
        "\u0667d",
    ],
)
def test_other_limits_are_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match="neither an age nor a size; use for example"):
        Keep.parse(["7d", text])


def recordings(*of: tuple[str, int, float]) -> list[Recording]:
    return [Recording(Path(name), size, modified) for name, size, modified in of]


FOUR = recordings(("c", 30, 300.0), ("a", 10, 100.0), ("d", 40, 400.0), ("b", 20, 200))


@pytest.mark.parametrize(
    ("keep", "present_bytes", "deleted"),
    [
        (Keep(), 10**9, ""),
        (Keep(max_age_s=900), 0, ""),
        (Keep(max_age_s=899), 0, "a"),
        (Keep(max_age_s=1), 0, "abcd"),
        (Keep(max_bytes=100), 0, ""),
        (Keep(max_bytes=99), 0, "a"),
        (Keep(max_bytes=100), 1, "a"),
        (Keep(max_bytes=70), 0, "ab"),
        (Keep(max_bytes=69), 0, "abc"),
        (Keep(max_bytes=39), 0, "abcd"),
        (Keep(max_age_s=750, max_bytes=45), 0, "abc"),
        (Keep(max_age_s=650, max_bytes=10**6), 0, "abc"),
    ],
)
def test_the_oldest_are_deleted_first(
    keep: Keep, present_bytes: int, deleted: str
) -> None:
    paths = keep.excess(FOUR, now_s=1000.0, present_bytes=present_bytes)
    assert "".join(map(str, paths)) == deleted


DAY_S = 86400.0
WEEK = Keep(max_age_s=7 * DAY_S)
NOW_S = 1.8e9
MONTH = recordings(*((f"{day:02}", 10, NOW_S - day * DAY_S) for day in range(1, 31)))


def test_a_clock_far_ahead_does_not_make_everything_old() -> None:
    right = WEEK.excess(MONTH, now_s=NOW_S - DAY_S)
    assert [path.name for path in right] == [f"{day:02}" for day in range(30, 8, -1)]
    ahead_s = NOW_S + 50 * 365 * DAY_S
    assert WEEK.excess(MONTH, now_s=ahead_s) == right
    first = recordings(("ahead", 10, ahead_s))
    assert WEEK.excess([*MONTH, *first], now_s=ahead_s + 60) == right
    # When the clock is right again, files dated by the wrong one change nothing.
    assert WEEK.excess([*MONTH, *first], now_s=NOW_S - DAY_S) == right


def test_a_clock_that_starts_in_1970_does_not_make_new_recordings_old() -> None:
    fresh = recordings(("new1", 10, 60.0), ("new2", 10, 120.0))
    size = Keep(max_bytes=300)
    assert size.excess([*MONTH, *fresh], now_s=130.0) == [Path("30"), Path("29")]
    assert oldest_first([*MONTH, *fresh], now_s=130.0)[-1].path.name == "new2"
    # Once the network has set the clock, they are minutes old, not half a century.
    assert Path("new1") not in WEEK.excess([*MONTH, *fresh], now_s=NOW_S)
    assert size.excess([*MONTH, *fresh], now_s=NOW_S) == [Path("new1"), Path("new2")]


def test_years_of_recordings_without_a_gap_are_old() -> None:
    years = recordings(
        *((f"{day:04}", 1, NOW_S - day * DAY_S) for day in range(0, 1500, 30))
    )
    assert len(WEEK.excess(years, now_s=NOW_S)) == len(years) - 1


@pytest.mark.parametrize(
    ("keep", "shortfall_bytes", "deleted"),
    [
        (Keep(), 10, ""),
        (Keep(max_bytes=1000), -5, ""),
        (Keep(max_bytes=1000), 10, "a"),
        (Keep(max_age_s=1e6), 11, "ab"),
        (Keep(max_bytes=99), 10, "a"),
        (Keep(max_bytes=1000), 10**6, "abcd"),
    ],
)
def test_recordings_are_deleted_if_the_disk_lacks_space(
    keep: Keep, shortfall_bytes: int, deleted: str
) -> None:
    paths = keep.excess(FOUR, now_s=1000.0, shortfall_bytes=shortfall_bytes)
    assert "".join(map(str, paths)) == deleted


def test_equal_times_are_sorted_by_name() -> None:
    same = recordings(("b", 1, 5.0), ("a", 1, 5.0), ("c", 1, 5.0))
    assert Keep(max_bytes=1).excess(same, now_s=9.0) == [Path("a"), Path("b")]


def test_setting_the_clock_back_deletes_nothing() -> None:
    future = recordings(("a", 1, 1e9))
    assert Keep(max_age_s=60).excess(future, now_s=5.0) == []


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
        f"{stem}-2{ending}",
        f"{stem}.part{ending}",
        f"{stem}-12.part3{ending}",
    ]
    other = [f"{stem}{ending}.txt", f"{stem}x{ending}", f"x{name}", f"{stem}.jpg"]
    for each in [*matching, *other]:
        (path.parent / Path(each).name).write_bytes(b"x")
    (path.parent / f"{stem}-3{ending}").symlink_to(path)
    (path.parent / f"{stem}-4{ending}").mkdir()
    found = sorted(each.path.name for each in names.find())
    assert found == sorted(Path(each).name for each in matching)


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    names = SegmentNames(f"{tmp_path}/%H.mkv")
    (tmp_path / "02.mkv").touch()
    (tmp_path / "02-2.part.mkv").touch()  # being written, will become 02-2.mkv
    os.symlink("nowhere", tmp_path / "02-3.mkv")
    assert names.free_path(MOMENT) == tmp_path / "02-4.mkv"
    assert names.final_path(tmp_path / "02.part7.mkv") == tmp_path / "02-4.mkv"
    assert names.final_path(tmp_path / "02-2.part.mkv") == tmp_path / "02-2.mkv"


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
