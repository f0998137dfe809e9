"""A C client that may be closed while other threads call it."""

import _thread
import atexit
import ctypes
import os
import threading
import time
from typing import Any, Callable

from . import _lib
from ._loans import Loans

_CLOSED = _lib.ERRORS["EMBMON_ECLOSED"]
_POLL = 0.001  # seconds
_TIMEOUT = 2.0  # seconds, for a client nobody closed

# The private thread may outlive its client by a call of the log function that hangs: such
# functions stay for the life of the process.
_logs: list[Any] = []

_left: list[Any] = []  # loans of clients that could not be closed: still read, maybe


def log_function(log: Callable[[str], None]) -> Any:
    """A C function of log, kept for ever."""
    made = _lib.LOG(lambda _context, line: log(line.decode("utf-8", "replace")))
    _logs.append(made)
    return made


class Handle:
    """Owns one `struct embmon_client *` (None: closed). embmon_close() allows no other call beside
    it; so calls are counted while they run, and close() first shuts the door, then waits for
    those inside. A list counts without a lock: append and pop are atomic."""

    __slots__ = ("pointer", "loans", "_inside", "_process", "_closing")

    def __init__(self, pointer: int | None) -> None:
        self.pointer = pointer
        self.loans = Loans()
        self._inside: list[None] = []
        self._process = os.getpid()
        self._closing = threading.Lock()

    def call(self, function: Callable[..., int], *arguments: Any) -> int:
        """function(client, *arguments), or EMBMON_ECLOSED."""
        inside = self._inside
        try:
            inside.append(None)  # within try: an interrupt comes after a call, not before it
            pointer = self.pointer
            return _CLOSED if pointer is None else function(pointer, *arguments)
        finally:
            inside.pop()

    def is_forked(self) -> bool:
        """Is this process a fork of the one that opened the client?"""
        return os.getpid() != self._process

    def close(self, timeout: float) -> int:
        """Waits up to timeout seconds for what is queued; the number of posts not delivered."""
        end = time.monotonic() + max(timeout, 0.0)
        if self.is_forked():  # a lock or a call of a thread that is not in this process
            pointer, self.pointer = self.pointer, None
        else:
            with self._closing:
                pointer, self.pointer = self.pointer, None
            while self._inside and time.monotonic() < end + 1:
                time.sleep(_POLL)
            if self._inside:
                _left.append(self.loans)
                return 0  # a call hangs (in a debugger?): better a leak than a crash
        if pointer is None:
            return 0
        milliseconds = min(max(end - time.monotonic(), 0.0) * 1000, 2**31 - 1)
        undelivered = int(_lib.load().embmon_close(ctypes.c_void_p(pointer), int(milliseconds)))
        self.loans.let_go()
        return undelivered


# ---- clients that nobody closed

_orphans: list[Handle] = []  # being closed in the background


def close_unowned(handle: Handle) -> None:
    """For a client that was collected, or is still open at exit. Collection may come in the middle
    of a training step and inside any lock, so there a bare thread does the waiting:
    threading.Thread takes locks of its own to start."""
    if handle.pointer is None:
        return
    if handle.is_forked() or not threading.main_thread().is_alive():  # at exit waiting is fine
        handle.close(_TIMEOUT)
        return
    _orphans.append(handle)
    try:
        _thread.start_new_thread(_close_orphan, (handle,))
    except RuntimeError:  # no thread to be had
        _close_orphan(handle)


def _close_orphan(handle: Handle) -> None:
    try:
        handle.close(_TIMEOUT)
    finally:
        _orphans.remove(handle)


def _await_orphans() -> None:
    end = time.monotonic() + _TIMEOUT
    while _orphans and time.monotonic() < end:
        time.sleep(_POLL)


atexit.register(_await_orphans)
os.register_at_fork(after_in_child=_orphans.clear)
