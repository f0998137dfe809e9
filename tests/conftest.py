"""Fixtures: an embmond that is gone when the test ends, whatever happened in it."""

import signal
import threading

import pytest

from harness import Daemon

# Who runs the tests in the background may have had SIGINT ignored, and programs would inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def daemons():
    """Makes embmonds: daemons(*options, ...) as harness.Daemon."""
    made = []

    def make(*options, **named):
        made.append(Daemon(*options, start=False, **named))
        return made[-1].start()

    yield make
    for daemon in made:
        daemon.discard()


@pytest.fixture
def daemon(daemons):
    """One embmond with nothing special about it."""
    return daemons()
