"""Fixtures: an embmond that is gone when the test ends, whatever happened in it."""

import signal
import threading

import pytest

import sanitized
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


# ---- against build/sanitize

if sanitized.SANITIZED:
    @pytest.fixture(scope="session")
    def sanitizer_reports(tmp_path_factory):
        reports = sanitized.Reports(tmp_path_factory.mktemp("reports"))
        yield reports
        said = reports.take()  # of what outlived the last test
        assert not said, said

    @pytest.fixture(autouse=True)
    def nothing_is_reported(sanitizer_reports):
        yield
        said = sanitizer_reports.take()
        assert not said, said

    def pytest_ignore_collect(collection_path):
        return collection_path.name in sanitized.LEFT_OUT or None

    def pytest_collection_modifyitems(items):
        sanitized.skip_left_out(items)
