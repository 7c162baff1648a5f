"""What this process may do, given up for good: Linux's limits, without root.

Each is a layer of its own. Limits, no new privileges and no capabilities are there on
every Linux; the filter of system calls needs x86-64 or ARM64, Landlock a kernel of 5.13
with it switched on. `confine` says what is missing.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522
_CAP_DAC_READ_SEARCH = 1 << 2
"""Root may read files of others, as it may without `--sandbox`."""

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    # socket connect accept bind listen accept4, execve execveat, kill tkill tgkill
    # rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal pidfd_open, ptrace
    # process_vm_readv process_vm_writev, mount umount2 pivot_root chroot, init_module
    # finit_module, add_key request_key keyctl, setns unshare, perf_event_open bpf
    # userfaultfd, io_uring
    "x86_64": (
        *(41, 42, 43, 49, 50, 288, 59, 322, 62, 200, 234, 129, 297, 424, 434, 101),
        *(310, 311, 165, 166, 155, 161, 175, 313, 248, 249, 250, 308, 272, 298, 321),
        *(323, 425, 426, 427),
    ),
    "aarch64": (
        *(198, 203, 202, 200, 201, 242, 221, 281, 129, 130, 131, 138, 240, 424, 434),
        *(117, 270, 271, 40, 39, 41, 51, 105, 273, 217, 218, 219, 268, 97, 241, 280),
        *(282, 425, 426, 427),
    ),
}
_X32 = 0x40000000
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_ALL_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of rights to files by version; later ones have one more."""
_EXECUTE, _READ_FILE, _READ_DIR = 1, 4, 8


_CPU_GRACE_S = 5


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What a decoder may take."""

    memory_bytes: int = 5 << 30
    """Address space: enough for the largest picture and for video of 8K."""
    cpu_s: int = 24 * 3600
    """CPU time of all threads together, for the whole file."""
    silence_s: float = 60.0
    """Longest wait for each frame."""
    open_files: int = 64


def confine(limits: SandboxLimits, readable: Iterable[Path]) -> list[str]:
    """Give everything up that a decoder does not need.

    Args:
        limits: see `SandboxLimits`; no file can be written, no core dumped.
        readable: files and folders that can still be read.

    Returns:
        What this system cannot do.

    Raises:
        OSError: Not even the least is possible, as outside of Linux.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("it needs Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0))
    _checked(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _drop_capabilities(libc)
    missing: list[str] = []
    try:
        _restrict_files(libc, readable)
    except OSError:
        missing.append("files of this user stay readable, as the kernel lacks Landlock")
    try:
        _filter_calls(libc)
    except OSError:
        missing.append("system calls are not filtered, so networks stay reachable")
    for kind, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        # The first limit of CPU time has a signal of its own, the second kills.
        last = most + _CPU_GRACE_S * (kind == resource.RLIMIT_CPU)
        if hard != resource.RLIM_INFINITY:
            most, last = min(most, hard), min(last, hard)
        resource.setrlimit(kind, (most, last))
    return missing


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    before = ctypes.create_string_buffer(24)
    _checked(libc.capget(ctypes.create_string_buffer(header), before))
    permitted = struct.unpack("=6I", before.raw)[1]
    kept = permitted & _CAP_DAC_READ_SEARCH
    data = struct.pack("=6I", kept, kept, 0, 0, 0, 0)
    _checked(
        libc.capset(
            ctypes.create_string_buffer(header), ctypes.create_string_buffer(data)
        )
    )


def _restrict_files(libc: ctypes.CDLL, readable: Iterable[Path]) -> None:
    """Landlock: only these files and folders exist, and only for reading."""
    abi = _checked(libc.syscall(_LANDLOCK_CREATE, None, 0, 1))
    handled = (1 << _ALL_OF_ABI.get(abi, 16)) - 1
    attributes = ctypes.create_string_buffer(struct.pack("=Q", handled))
    rules = _checked(libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(8), 0))
    try:
        for path in readable:
            try:
                fd = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
            except OSError:
                continue  # what is not there cannot be read
            rights = _READ_FILE
            if path.is_dir():
                rights |= _READ_DIR | _EXECUTE
            rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd))
            try:
                _checked(libc.syscall(_LANDLOCK_ADD, rules, 1, rule, 0))
            finally:
                os.close(fd)
        _checked(libc.syscall(_LANDLOCK_RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _filter_calls(libc: ctypes.CDLL) -> None:
    """A filter (seccomp) that fails the system calls of `_DENIED`."""
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        raise OSError(f"no filter for {machine}")
    denied = _DENIED[machine]
    load, jump, jump_from, leave = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (jump, 1, 0, _AUDIT_ARCH[machine])]
    program += [(leave, 0, 0, _EPERM), (load, 0, 0, 0)]
    last = len(denied)
    program.append((jump_from, last + 1, 0, _X32))
    for number, call in enumerate(denied):
        program.append((jump, last - number, 0, call))
    program += [(leave, 0, 0, _ALLOW), (leave, 0, 0, _EPERM)]
    code = b"".join(struct.pack("=HBBI", *each) for each in program)
    instructions = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: a length, padding, a pointer.
    about = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    head = ctypes.create_string_buffer(about, len(about))
    _checked(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0))
