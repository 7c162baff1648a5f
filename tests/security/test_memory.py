"""Memory that is left: of the machine, of groups of processes, of the user's limit."""

import resource
from pathlib import Path

import psutil

from streamdenoise.security.memory import _left_in_groups, available_memory
from tests.support.command import python


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n")


def test_it_is_at_most_what_the_machine_has() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total


def test_every_group_around_the_process_counts(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/machine/job\n")
    stat = "anon 1\ninactive_file 500"
    group(tmp_path / "machine", memory_max=9000, memory_current=1500, memory_stat=stat)
    inner = tmp_path / "machine" / "job"
    group(inner, memory_max="max", memory_current=1000, memory_stat=stat)
    assert list(_left_in_groups(tmp_path, tmp_path / "cgroup")) == [8000]


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    """Also with version 1, beside controllers that do not matter."""
    lines = ["5:devices:/docker/x", "4:cpu,memory:/docker/x", "0::/"]
    (tmp_path / "cgroup").write_text("\n".join(lines))
    root = tmp_path / "memory"
    group(root)
    (root / "memory.limit_in_bytes").write_text("4000")
    (root / "memory.usage_in_bytes").write_text("3000")
    (root / "memory.stat").write_text("cache 9\ntotal_inactive_file 200")
    assert list(_left_in_groups(tmp_path, tmp_path / "cgroup")) == [1200]


def test_no_groups_and_no_limits(tmp_path: Path) -> None:
    assert list(_left_in_groups(tmp_path, tmp_path / "none")) == []
    (tmp_path / "cgroup").write_text("4:memory:/\n0::/\n")
    group(tmp_path / "memory")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(str((1 << 63) - 4096))
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("1")
    (tmp_path / "memory" / "memory.stat").write_text("")
    assert list(_left_in_groups(tmp_path, tmp_path / "cgroup")) == []


def test_the_limit_of_the_user_counts() -> None:
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({1 << 30}, {resource.RLIM_INFINITY}))
from streamdenoise.security.memory import available_memory
assert 0 < available_memory() < {1 << 30}
"""
    assert python(code).stderr == ""
