"""The engine store: which engines fit, which are broken, and which process builds."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from streamdenoise.errors import ConfigError, EngineBuildError
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE, default_folder
from streamdenoise.inference.engine_spec import SMALLEST_DYNAMIC_SIDE
from streamdenoise.inference.engine_store import MANIFEST_VERSION, EngineStore
from tests.support.engines import SPEC
from tests.support.skips import skip_or_fail
from tests.support.waiting import wait_until


def never() -> bytes:
    raise AssertionError("built, though there is an engine")


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


def test_an_engine_is_built_once_and_found_again(store: EngineStore) -> None:
    assert store.find(SPEC) is None
    assert not store.folder.exists()
    assert store.find_or_build(SPEC, lambda: b"one", {"gpu": "RTX"}) == b"one"
    assert store.find_or_build(SPEC, never) == b"one"
    assert EngineStore(store.folder).find(SPEC) == b"one"
    (stored,) = store.engines()
    assert stored.spec == SPEC
    assert stored.about == {"gpu": "RTX"}
    assert stored.build_s >= 0
    assert not list(store.folder.glob(".*.part"))


CHANGES = [
    ({"runtime": "TensorRT 10.16"}, "built by TensorRT 10.15, this is TensorRT 10.16"),
    ({"precision": "fp32"}, "its precision is different"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_stale_engine_is_explained_and_replaced(
    store: EngineStore,
    change: dict[str, str],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.find_or_build(SPEC, lambda: b"old")
    wanted = replace(SPEC, **change)
    assert store.find_or_build(wanted, lambda: b"new") == b"new"
    assert [reason in record.message for record in caplog.records] == [True]
    assert store.find_or_build(wanted, never) == b"new"
    assert len(store.engines()) == 1


def test_models_of_the_same_name_have_separate_engines(
    store: EngineStore, caplog: pytest.LogCaptureFixture
) -> None:
    # The digest of a graph in two files: only that of the weights differs.
    mine = replace(SPEC, weights_sha256=f"{'ab12' * 8}-{'cd' * 16}")
    other = replace(SPEC, weights_sha256=f"{'ab12' * 8}-{'ef' * 16}")
    for spec in (mine, other):
        store.find_or_build(spec, spec.weights_sha256.encode)
    for spec in (mine, other):
        assert store.find(spec) == spec.weights_sha256.encode()
        assert re.match(r"nano-[0-9a-f]{8}-tensorrt-", spec.file_name)
    assert not caplog.records


def test_engines_with_old_names_are_found(store: EngineStore) -> None:
    store.find_or_build(SPEC, lambda: b"old")
    for path in store.folder.glob("*.engine*"):
        path.rename(path.with_name(path.name.replace(SPEC.file_name, "nano")))
    assert store.find(SPEC) == b"old"


@pytest.mark.parametrize("model", [255 * "n", 127 * "ü"])
def test_models_with_long_names_have_engines(
    store: EngineStore, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    spec = replace(SPEC, model=model)
    store.find_or_build(spec, lambda: b"kept")
    assert store.find(spec) == b"kept"
    assert not caplog.records


def test_engines_for_other_sizes_and_devices_live_side_by_side(
    store: EngineStore, caplog: pytest.LogCaptureFixture
) -> None:
    others = [{"width": 1280, "height": 720}, {"device": "NVIDIA A2 sm_86"}]
    for change in [{}, *others]:
        store.find_or_build(replace(SPEC, **change), lambda: b"x")
    assert len(store.engines()) == 3
    assert not caplog.records


PORTABLE = [
    ("size", {"width": 640, "height": 360}, {"height": 2160}),
    ("device", {"device": "NVIDIA B200 sm_100"}, {"depth": 10}),
]


@pytest.mark.parametrize(("flag", "fits", "does_not"), PORTABLE)
def test_portable_engines_serve_more(
    store: EngineStore, flag: str, fits: dict, does_not: dict
) -> None:
    store.find_or_build(replace(SPEC, portable=(flag,)), lambda: b"wide")
    assert store.find(SPEC) == b"wide"
    assert store.find(replace(SPEC, **fits)) == b"wide"
    assert store.find(replace(SPEC, **does_not)) is None
    # One that was made for exactly this comes first.
    store.find_or_build(replace(SPEC, **does_not), lambda: b"own")
    assert store.find(replace(SPEC, **does_not)) == b"own"


FITS = [
    ("device", {"device": "NVIDIA A100 sm_80"}, True),
    ("device", {"device": "sm_86+sm_120"}, True),
    ("device", {"device": "NVIDIA T4 sm_75"}, False),
    ("device", {"device": "sm_75+sm_86"}, False),
    ("device", {"device": "Intel Core i5"}, False),
    ("size", {"width": SMALLEST_DYNAMIC_SIDE, "height": 64}, True),
    ("size", {"width": 1920, "height": 56}, False),
    ("size", {"width": 56, "height": 1088}, False),
    ("size", {"portable": ("size",)}, True),
    ("size", {"portable": ("device", "size")}, False),
    ("size", {"runtime": "TensorRT 10.16"}, False),
]


@pytest.mark.parametrize(("flag", "change", "fits"), FITS)
def test_portable_engines_serve_only_where_they_run(
    flag: str, change: dict, fits: bool
) -> None:
    engine = replace(SPEC, runtime="TensorRT 10.15.1", portable=(flag,))
    wanted = replace(engine, **{"portable": ()} | change)
    assert (engine.misfit(wanted) == "") == fits


def test_an_engine_for_several_gpus_serves_each(store: EngineStore) -> None:
    store.find_or_build(replace(SPEC, device="sm_86+sm_89"), lambda: b"two")
    assert store.find(replace(SPEC, device="sm_89")) == b"two"
    assert store.find(replace(SPEC, device="sm_86+sm_89")) == b"two"
    assert store.find(replace(SPEC, device="sm_120")) is None


def truncate(store: EngineStore) -> None:
    path = store.engines()[0].engine_path
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(store: EngineStore) -> None:
    path = store.engines()[0].engine_path
    data = bytearray(path.read_bytes())
    data[3] ^= 16
    path.write_bytes(data)


def delete_the_engine(store: EngineStore) -> None:
    store.engines()[0].engine_path.unlink()


def garble_the_manifest(store: EngineStore) -> None:
    store.engines()[0].path.write_text('{"manifest_version": 1, "spec"')


def newer_manifest(store: EngineStore) -> None:
    path = store.engines()[0].path
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"manifest_version": MANIFEST_VERSION + 1}))


def foreign_manifest(store: EngineStore) -> None:
    store.engines()[0].path.write_text('{"manifest_version": 1, "files": []}')


Damage = Callable[[EngineStore], None]

FAULTS = [
    (truncate, "truncated: 4 of 5 bytes"),
    (flip_a_bit, "corrupt"),
    (delete_the_engine, "cannot be read"),
    (garble_the_manifest, "manifest is unreadable"),
    (newer_manifest, "a newer streamdenoise: `pip install --upgrade streamdenoise`"),
    (foreign_manifest, "manifest is unreadable"),
]


@pytest.mark.parametrize(("damage", "reason"), FAULTS)
def test_a_broken_engine_is_explained_and_rebuilt(
    store: EngineStore, damage: Damage, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.find_or_build(SPEC, lambda: b"whole")
    damage(store)
    ((_, fault),) = store.verify()
    assert reason in fault
    assert store.find_or_build(SPEC, lambda: b"again") == b"again"
    assert [reason in record.message for record in caplog.records] == [True]
    assert store.find_or_build(SPEC, never) == b"again"
    assert [fault for _, fault in store.verify()] == [""]


@pytest.mark.parametrize(("damage", "reason"), FAULTS)
def test_prune_deletes_only_broken_engines(
    store: EngineStore, damage: Damage, reason: str
) -> None:
    store.find_or_build(SPEC, lambda: b"whole")
    damage(store)
    good = replace(SPEC, width=640)
    store.find_or_build(good, lambda: b"good")
    abandoned = store.folder / ".x.engine.7.part"
    abandoned.write_bytes(b"half")
    (store.folder / "README.md").write_text("kept")
    deleted = store.prune()
    assert abandoned in deleted
    assert store.find(good) == b"good"
    assert [s.spec for s in store.engines()] == [good]
    left = sorted(p.suffix for p in store.folder.iterdir() if p.suffix != ".lock")
    assert left == [".engine", ".json", ".md"]
    assert store.prune() == []


HUGE = int("9" * 400)
UNTYPED = [
    {"spec": []},
    {"spec": None},
    {"spec": "nano"},
    {"spec.width": "64"},
    {"spec.width": True},
    {"spec.width": -8},
    {"spec.height": HUGE},
    {"spec.model": 7},
    {"spec.model": "\ud800"},
    {"spec.streams": None},
    {"spec.runtime": ["TensorRT"]},
    {"spec.portable": "size"},
    {"spec.portable": [["size"]]},
    {"spec.portable": {"size": 1}},
    {"manifest_version": "1"},
    {"size": "9"},
    {"size": HUGE},
    {"sha256": None},
    {"build_s": HUGE},
    {"build_s": "1"},
    {"built_at": 2026},
    {"about": 7},
    {"about": ["a"]},
]


def spoil(manifest: Path, change: dict[str, object]) -> None:
    written = json.loads(manifest.read_text())
    for name, value in change.items():
        table = written["spec"] if name.startswith("spec.") else written
        table[name.removeprefix("spec.")] = value
    manifest.write_text(json.dumps(written))


@pytest.mark.parametrize("change", UNTYPED, ids=lambda change: str(change)[:40])
def test_manifests_with_wrong_types_are_explained(
    store: EngineStore, change: dict[str, object]
) -> None:
    store.find_or_build(replace(SPEC, portable=("size",)), lambda: b"whole")
    spoil(store.engines()[0].path, change)
    assert store.find(SPEC) is None
    ((_, fault),) = store.verify()
    assert fault.startswith("its manifest is unreadable")
    assert len(store.prune()) == 2


@pytest.mark.parametrize("text", ["[]", "7", "null", '"x"', "[" * 9999, "\xff", ""])
def test_manifests_that_are_not_tables_are_explained(
    store: EngineStore, text: str
) -> None:
    store.find_or_build(SPEC, lambda: b"whole")
    store.engines()[0].path.write_bytes(text.encode("latin-1"))
    assert store.find(SPEC) is None
    assert "its manifest is unreadable" in store.verify()[0][1]
    assert len(store.prune()) == 2


def test_a_failed_build_leaves_nothing(store: EngineStore) -> None:
    def fail() -> bytes:
        raise EngineBuildError("no")

    with pytest.raises(EngineBuildError, match="no"):
        store.find_or_build(SPEC, fail)
    with pytest.raises(EngineBuildError, match="built nothing"):
        store.find_or_build(SPEC, lambda: b"")
    assert store.engines() == []
    assert store.find_or_build(SPEC, lambda: b"now") == b"now"


def test_a_discarded_engine_is_built_again(
    store: EngineStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.discard(SPEC)
    assert not store.folder.exists()
    other = replace(SPEC, width=640)
    for spec in (SPEC, other):
        store.find_or_build(spec, lambda: b"bad")
    (store.folder / f"{SPEC.file_name}.engine").unlink()
    for _ in range(2):
        store.discard(SPEC)
    assert store.find_or_build(SPEC, lambda: b"good") == b"good"
    assert store.find(other) == b"bad"
    assert not caplog.records
    (store.folder / f"{SPEC.file_name}.engine").unlink()
    (store.folder / f"{SPEC.file_name}.engine").mkdir()
    store.discard(SPEC)
    assert "cannot be deleted" in caplog.text


BUILDER = """
import sys, time
from pathlib import Path
from streamdenoise.inference.engine_spec import EngineSpec
from streamdenoise.inference.engine_store import EngineStore
folder, marks, spec = Path(sys.argv[1]), Path(sys.argv[2]), eval(sys.argv[3])
def build():
    (marks / str(time.monotonic_ns())).touch()
    time.sleep(float(sys.argv[4]))
    return b"slow"
print(EngineStore(folder).find_or_build(EngineSpec(**spec), build).decode())
"""


def start_builder(store: EngineStore, marks: Path, seconds: float) -> subprocess.Popen:
    marks.mkdir(exist_ok=True)
    arguments = [str(store.folder), str(marks), repr(asdict(SPEC)), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_two_processes_do_not_build_the_same_engine(
    store: EngineStore, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    processes = [start_builder(store, marks, 0.5) for _ in range(3)]
    answers = [process.communicate(timeout=40) for process in processes]
    assert [out for out, _ in answers] == 3 * ["slow\n"], answers
    assert len(list(marks.iterdir())) == 1


def test_a_killed_build_does_not_block_others(
    store: EngineStore, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    process = start_builder(store, marks, 60)
    wait_until(lambda: any(marks.iterdir()))
    process.kill()
    process.communicate()
    assert store.find_or_build(SPEC, lambda: b"mine") == b"mine"


def test_prune_leaves_an_engine_that_another_process_builds(
    store: EngineStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = start_builder(store, tmp_path / "marks", 60)
    wait_until(lambda: any((tmp_path / "marks").iterdir()))
    # Between the two files that a builder writes.
    written = store.folder / f"{SPEC.file_name}.engine"
    written.write_bytes(b"whole")
    try:
        assert store.prune() == []
        assert "another process is building it" in caplog.text
    finally:
        process.kill()
        process.communicate()
    assert store.prune() == [written]


def test_no_clock_decides_whether_a_part_file_is_needed(
    store: EngineStore, tmp_path: Path
) -> None:
    process = start_builder(store, tmp_path / "marks", 60)
    wait_until(lambda: any((tmp_path / "marks").iterdir()))
    parts = []
    for suffix, modified_s in ((".engine", 0), (".engine.json", 2**32)):
        part = store.folder / f".{SPEC.file_name}{suffix}.{process.pid}.part"
        part.write_bytes(b"half")
        os.utime(part, (modified_s, modified_s))
        parts.append(part)
    try:
        assert store.prune() == []
    finally:
        process.kill()
        process.communicate()
    assert store.prune() == sorted(parts)


def test_prune_leaves_part_files_of_other_programs(store: EngineStore) -> None:
    store.folder.mkdir(parents=True)
    (store.folder / ".video.mp4.part").write_bytes(b"half")
    os.utime(store.folder / ".video.mp4.part", (0, 0))
    assert store.prune() == []


@pytest.mark.parametrize("name", ["x.engine", "x.engine.json", ".x.engine.7.part"])
def test_prune_logs_files_it_cannot_delete(
    store: EngineStore, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (store.folder / name).mkdir(parents=True)
    orphan = store.folder / "y.engine"
    orphan.write_bytes(b"")
    assert store.prune() == [orphan]
    assert f"{name} cannot be deleted" in caplog.text


def test_waiting_for_another_build_can_be_stopped(
    store: EngineStore, tmp_path: Path
) -> None:
    process = start_builder(store, tmp_path / "marks", 60)
    wait_until(lambda: any((tmp_path / "marks").iterdir()))
    answers = iter([False, False, True])
    start = time.monotonic()
    try:
        with pytest.raises(EngineBuildError, match="stopped while another process"):
            store.find_or_build(SPEC, never, stopped=lambda: next(answers))
    finally:
        process.kill()
        process.communicate()
    assert time.monotonic() - start < 10
    assert store.engines() == []


def test_a_folder_that_cannot_be_written_falls_back_to_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # A file in the place of the folder stops root, too.
    (tmp_path / "engines").write_text("in the way")
    store = EngineStore(tmp_path / "engines")
    assert store.find_or_build(SPEC, lambda: b"x") == b"x"
    assert store.folder == tmp_path / "cache" / "streamdenoise" / "engines"
    assert "cannot be written: engines go to" in caplog.text
    assert store.find(SPEC) == b"x"


def test_an_engine_is_used_even_if_the_disk_is_full(
    store: EngineStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert store.find_or_build(SPEC, lambda: b"x") == b"x"
    assert "No space left on device" in caplog.text
    assert [p.suffix for p in store.folder.iterdir()] == [".lock"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache: no folder is named, and there is none in the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    return tmp_path / "cache" / "streamdenoise" / "engines"


def make_read_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Folders that even root cannot write to."""
    access, locked = os.access, folder.absolute()

    def ask(path: Path, mode: int) -> bool:
        return Path(path).absolute() != locked and access(path, mode)

    monkeypatch.setattr(os, "access", ask)


def test_the_folders_of_engines(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_folder() == cache
    here, mine = Path("engines"), Path("mine").absolute()
    here.mkdir()
    assert default_folder() == here
    monkeypatch.setenv(FOLDER_VARIABLE, str(mine))
    assert default_folder() == mine
    assert EngineStore().folders == (mine,)
    assert not mine.exists()


def test_engines_in_the_cache_are_found_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path("file").write_text("in the way")
    monkeypatch.setenv(FOLDER_VARIABLE, "file/engines")
    assert EngineStore().find_or_build(SPEC, lambda: b"x") == b"x"
    assert [record.message for record in caplog.records] == [
        f"file/engines cannot be written: engines go to {cache}"
    ]
    assert default_folder() == cache
    assert EngineStore().find_or_build(SPEC, never) == b"x"
    assert EngineStore(Path("file/engines")).find(SPEC) == b"x"
    assert len(caplog.records) == 1
    assert [stored.path.parent for stored in EngineStore().engines()] == [cache]


def test_read_only_engines_are_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = Path("engines")
    here.mkdir()
    EngineStore().find_or_build(SPEC, lambda: b"given")
    make_read_only(monkeypatch, here)
    store = EngineStore()
    assert store.find(SPEC) == b"given"
    # One that no longer fits is replaced in the cache, with a warning.
    wanted = replace(SPEC, runtime="TensorRT 10.16")
    assert store.find_or_build(wanted, lambda: b"own") == b"own"
    assert "was built by TensorRT 10.15" in caplog.text
    caplog.clear()
    assert EngineStore().find_or_build(wanted, never) == b"own"
    assert not caplog.records
    assert sorted(p.suffix for p in cache.iterdir()) == [".engine", ".json", ".lock"]


def test_the_cache_is_searched_unless_a_folder_is_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EngineStore().find_or_build(SPEC, lambda: b"cached")
    Path("engines").mkdir()
    assert EngineStore().find(SPEC) == b"cached"
    assert EngineStore().folder == Path("engines")
    other = replace(SPEC, width=640)
    EngineStore().find_or_build(other, lambda: b"near")
    assert len(EngineStore().verify()) == 2
    monkeypatch.setenv(FOLDER_VARIABLE, "mine")
    assert EngineStore().find(SPEC) is None
    theirs = EngineStore(Path("theirs"))
    theirs.find_or_build(replace(SPEC, width=320), lambda: b"new")
    assert theirs.find(SPEC) is None
    monkeypatch.delenv(FOLDER_VARIABLE)
    (cache / f"{SPEC.file_name}.engine").write_bytes(b"")
    assert {path.parent for path in EngineStore().prune()} == {cache}


def test_a_folder_that_cannot_be_created_falls_back_to_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, refused = Path.mkdir, Path("mine")

    def mkdir(path: Path, *args: object, **options: object) -> None:
        if path == refused:
            raise OSError(122, "Disk quota exceeded")
        make(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    store = EngineStore(refused)
    assert store.find_or_build(SPEC, lambda: b"x") == b"x"
    assert store.folder == cache
    assert store.find(SPEC) == b"x"


def test_no_folder_for_engines_is_one_sentence(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("cache").write_text("in the way")
    with pytest.raises(ConfigError, match=f"cannot be written to {cache}; set"):
        EngineStore().find_or_build(SPEC, never)
    monkeypatch.setenv(FOLDER_VARIABLE, "cache/mine")
    with pytest.raises(ConfigError, match=f"written to cache/mine or {cache}; set"):
        EngineStore().find_or_build(SPEC, never)


def let_everybody_write(path: Path) -> None:
    path.chmod(0o777)


def give_away(path: Path) -> None:
    if os.geteuid():
        skip_or_fail("root", "only root gives files away")
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("harm", [let_everybody_write, give_away])
@pytest.mark.parametrize("place", ["..", ".", "x.engine", "x.engine.json"])
def test_engines_that_others_could_have_written_are_not_used(
    tmp_path: Path,
    place: str,
    harm: Callable[[Path], None],
    cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "shared/engines"
    EngineStore(folder).find_or_build(SPEC, lambda: b"planted")
    path = folder / place.replace("x", SPEC.file_name)
    harm(path)
    store = EngineStore(folder)
    assert store.find(SPEC) is None
    assert "is not used: it is not trusted" in caplog.text
    assert str(path.resolve()) in caplog.text
    assert store.find_or_build(SPEC, lambda: b"own") == b"own"
    assert EngineStore(folder).find_or_build(SPEC, never) == b"own"
    is_folder = path.is_dir()
    assert (cache.is_dir(), store.folder == cache) == (is_folder, is_folder)
    # What may be somebody else's is not deleted either.
    EngineStore(folder).prune()
    assert (folder / f"{SPEC.file_name}.engine").exists()


def test_engines_in_the_present_folder_of_others_are_not_used(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = Path("engines")
    here.mkdir()
    EngineStore().find_or_build(SPEC, lambda: b"planted")
    here.chmod(0o777)
    assert default_folder() == cache
    assert EngineStore().find_or_build(SPEC, lambda: b"own") == b"own"
    assert f"everybody can write to {here.absolute()}; chmod o-w" in caplog.text


def test_a_folder_that_a_link_leads_to_is_judged_too(
    cache: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    EngineStore(shared).find_or_build(SPEC, lambda: b"planted")
    (tmp_path / "link").symlink_to(shared)
    assert EngineStore(tmp_path / "link").find(SPEC) == b"planted"
    shared.chmod(0o777)
    assert EngineStore(tmp_path / "link").find(SPEC) is None


def test_engines_are_trusted_whatever_the_umask(store: EngineStore) -> None:
    before = os.umask(0)
    try:
        store.find_or_build(SPEC, lambda: b"mine")
    finally:
        os.umask(before)
    assert store.find(SPEC) == b"mine"


def test_an_engine_that_is_too_large_is_not_read(store: EngineStore) -> None:
    store.find_or_build(SPEC, lambda: b"small")
    os.truncate(store.engines()[0].engine_path, 2**40)
    ((_, fault),) = store.verify()
    assert fault == "it has 1099511627776 bytes instead of 5"


def test_manifests_that_are_no_small_files_are_explained(store: EngineStore) -> None:
    store.find_or_build(SPEC, lambda: b"whole")
    manifest = store.engines()[0].path
    manifest.write_bytes(b" " * (2**20 + 1))
    assert "more than 1 MiB" in store.verify()[0][1]
    manifest.unlink()
    os.mkfifo(manifest)
    assert "no regular file" in store.verify()[0][1]
