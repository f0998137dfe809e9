"""The commands `embmond` and `embmonctl` of an installed package: they become the carried ones."""

import os
import signal
import sys

from . import _lib


def _become(name: str) -> None:
    path = _lib.find(name)
    if path is None:
        sys.exit(f"{name}: the program is not in the embmon package; install the package anew")
    # Python ignores these two, and that would be inherited by what embmond starts.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv(path, [name, *sys.argv[1:]])


def embmond() -> None:
    """The daemon."""
    _become("embmond")


def embmonctl() -> None:
    """The command-line client."""
    _become("embmonctl")
