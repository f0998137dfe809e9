"""Closing while calls are under way: the C client may be freed only when nobody is inside."""

import os
import sys
import threading
import time
import types

import pytest

from harness import BUILD, ROOT, wait_for

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
from embmon import _handle, _lib  # noqa: E402

CLOSED = _lib.ERRORS["EMBMON_ECLOSED"]


@pytest.fixture
def closed(monkeypatch):
    """The (pointer, milliseconds) that embmon_close() gets."""
    calls = []
    library = types.SimpleNamespace(
        embmon_close=lambda pointer, ms: calls.append((pointer.value, ms)) or 7)
    monkeypatch.setattr(_lib, "load", lambda: library)
    return calls


class Inside:
    """A thread inside a call of the handle until it is let go."""

    def __init__(self, handle):
        self.entered, self.go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=handle.call, args=(self._function, 5))
        self.thread.start()
        assert self.entered.wait(20)

    def _function(self, pointer, argument):
        assert (pointer, argument) == (0x1000, 5)
        self.entered.set()
        self.go.wait(60)
        return 0

    def end(self):
        self.go.set()
        self.thread.join(20)


def test_a_call(closed):
    handle = _handle.Handle(0x1000)
    assert handle.call(lambda pointer, a, b: (pointer, a, b), 1, 2) == (0x1000, 1, 2)
    with pytest.raises(ZeroDivisionError):
        handle.call(lambda pointer: 1 / 0)
    assert handle.close(1.5) == 7
    (pointer, milliseconds), = closed
    assert pointer == 0x1000 and 1400 < milliseconds <= 1500
    assert handle.call(lambda pointer: 1 / 0) == CLOSED
    assert handle.close(1.5) == 0 and len(closed) == 1


def test_close_waits_for_calls_and_admits_no_more(closed):
    handle = _handle.Handle(0x1000)
    inside = Inside(handle)
    results = []
    closer = threading.Thread(target=lambda: results.append(handle.close(30)))
    closer.start()
    wait_for(lambda: handle.pointer is None, "the door to shut")
    assert handle.call(lambda pointer: 1 / 0) == CLOSED
    assert closed == [] and results == []
    inside.end()
    closer.join(20)
    assert results == [7] and len(closed) == 1


def test_a_call_that_hangs_is_not_freed_under(closed):
    handle = _handle.Handle(0x1000)
    inside = Inside(handle)
    began = time.monotonic()
    assert handle.close(0) == 0
    assert time.monotonic() - began < 10
    assert closed == []
    inside.end()


def test_two_closers_free_once(closed):
    handle = _handle.Handle(0x1000)
    threads = [threading.Thread(target=handle.close, args=(1,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(closed) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_does_not_wait_for_threads_it_does_not_have(closed):
    handle = _handle.Handle(0x1000)
    inside = Inside(handle)
    _handle._orphans.append(handle)
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        good = _handle._orphans == [] and handle.close(30) == 7 and len(closed) == 1
        os._exit(0 if good and handle.pointer is None else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert time.monotonic() - began < 10
    _handle._orphans.remove(handle)
    inside.end()
    assert handle.pointer == 0x1000 and closed == []


def test_a_client_nobody_owns_is_closed_beside(closed):
    handle = _handle.Handle(0x1000)
    inside = Inside(handle)
    _handle.close_unowned(handle)  # returns though a call is under way
    assert handle in _handle._orphans
    inside.end()
    wait_for(lambda: handle not in _handle._orphans, "the close")
    assert len(closed) == 1
    _handle.close_unowned(handle)
    assert len(closed) == 1 and _handle._orphans == []
