"""Who could change a file: only what nobody else can write is trusted."""

import os
import stat
from pathlib import Path


def why_others_write(path: Path) -> str:
    """Why somebody else could change a file or folder; empty if nobody could.

    All folders above it count, too, as in the rules of SSH: who can rename a folder can
    put another in its place. What does not exist yet is judged by the folders above.
    Systems without owners are not checked.
    """
    if not hasattr(os, "geteuid"):
        return ""
    real = Path(os.path.realpath(path))
    for start in dict.fromkeys((path.absolute(), real)):
        for place in (start, *start.parents):
            try:
                status = place.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as exc:
                return f"{place} cannot be checked ({exc.strerror})"
            if reason := _why(place, status, is_above=place != start):
                return reason
    return ""


def _why(place: Path, status: os.stat_result, *, is_above: bool) -> str:
    if status.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to {_user(status.st_uid)}, not to you"
    mode = status.st_mode
    if stat.S_ISLNK(mode) or (is_above and mode & stat.S_ISVTX):
        return ""  # links have no mode; in sticky folders others cannot rename
    if mode & stat.S_IWOTH:
        return f"everybody can write to {place}; chmod o-w {place}"
    if mode & stat.S_IWGRP and not _is_mine_alone(status.st_gid):
        return f"others of its group can write to {place}; chmod g-w {place}"
    return ""


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _is_mine_alone(group: int) -> bool:
    """Whether a group has one member: many systems give each user such a group."""
    import grp
    import pwd

    try:
        me, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    is_named_like_me = found.gr_name == me.pw_name and me.pw_gid == group
    return is_named_like_me and {*found.gr_mem} <= {me.pw_name}
