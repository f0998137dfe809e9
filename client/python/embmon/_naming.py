"""What a run is called, and which rank this process is, where the user does not say; which layers a
pattern names."""

import fnmatch
import os
import re
import stat
import sys
import time
import warnings
from typing import Iterable

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_.=+-]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*(/[A-Za-z0-9_][A-Za-z0-9_.=+-]*)*")
_TCP = re.compile(r"tcp:([^][:/@\s]{1,253}|\[[^][/@\s]{1,253}\]):[0-9]{1,5}")
_PATH_MAX = 107  # bytes in the path of a Unix socket


def is_name(name: str) -> bool:
    """May a run be called so? Parts of [A-Za-z0-9_.=+-] joined by '/'; behind the first none is
    "embmon", where the files of a run are."""
    return _NAME.fullmatch(name) is not None and "embmon" not in name.split("/")[1:]


def is_address(address: str) -> bool:
    """Is it unix:PATH with a path that fits, or tcp:HOST:PORT? libembmon looks closer."""
    if address.startswith("tcp:"):
        return _TCP.fullmatch(address) is not None and 0 < int(address.rpartition(":")[2]) < 65536
    path = os.fsencode(address.removeprefix("unix:"))
    return address.startswith("unix:") and 0 < len(path) <= _PATH_MAX


def is_token_file(path: str | os.PathLike[str]) -> bool:
    """Is there a file of that size which nobody but its owner may use? libembmon looks closer."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077 and 16 <= found.st_size <= 4098


def _as_part(text: str) -> str:
    """A part of a name as close to the text as the rules allow; "" for nothing."""
    part = _NOT_IN_NAME.sub("_", text)[:63]
    return "_" + part[1:] if part[:1] in tuple(".=+-") else part


def program() -> str:
    """The script without folder and .py (of a package run by -m its name), "notebook" in one,
    "python" where there is neither."""
    if "ipykernel" in sys.modules:
        return "notebook"
    script = sys.argv[0] if sys.argv else ""
    if script in ("", "-", "-c"):
        return "python"
    folder, name = os.path.split(os.path.abspath(script))
    if name == "__main__.py":
        name = os.path.basename(folder)
    return _as_part(name.removesuffix(".py")) or "python"


def run() -> str:
    """The wanted name of the run: EMBMON_RUN, else the launcher's id, which all ranks share
    (TORCHELASTIC_RUN_ID, SLURM_JOB_ID), else <program>-<date>-<time>-<pid>."""
    if given := os.environ.get("EMBMON_RUN"):
        return given
    elastic = os.environ.get("TORCHELASTIC_RUN_ID", "")
    launch = elastic if elastic != "none" else ""
    if launch := _as_part(launch or os.environ.get("SLURM_JOB_ID", "")):
        return launch
    return f"{program()}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def _number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """(rank, world size): what is given, else RANK and WORLD_SIZE, else 0 of 1. Variables that
    contradict each other are one warning, not an error: something else may have set them."""
    if rank is None and world_size is None:
        rank, world_size = _number("RANK"), _number("WORLD_SIZE")
        if rank is not None and rank >= (world_size or 1):
            warnings.warn(f"embmon: RANK={rank} does not fit WORLD_SIZE="
                          f"{os.environ.get('WORLD_SIZE', '')}: taken as rank 0 of 1", stacklevel=3)
            return 0, 1
    elif rank is None:
        rank = _number("RANK")
    elif world_size is None:
        world_size = _number("WORLD_SIZE")
    return rank or 0, world_size or 1


def matches(path: str, patterns: Iterable[str] | None) -> bool:
    """Is the path named by one of the globs? `*` crosses "/"; a pattern without "/" is of the last
    part. None: all are."""
    if patterns is None:
        return True
    last = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path if "/" in pattern else last, pattern)
               for pattern in patterns)
