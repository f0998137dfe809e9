"""Does an alert stand in embmond's log where our own lines go, as under `embmond -- COMMAND`? Then the
user has it already."""

import os
import sys


def is_logged_here(address: str | None) -> bool:
    """Of the embmond at this address (None: at EMBMON_ADDRESS). Where it started us it says which file
    its log goes to: "<device>:<inode> <its address>", as $JOURNAL_STREAM of systemd."""
    stream, _, daemon = os.environ.get("EMBMON_LOG_STREAM", "").partition(" ")
    if not daemon or daemon != (address or os.environ.get("EMBMON_ADDRESS")):
        return False
    try:
        ours = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # none, closed, or of a notebook
        return False
    return stream == f"{ours.st_dev}:{ours.st_ino}"
