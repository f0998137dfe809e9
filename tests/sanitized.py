"""What `make test-py-sanitize` leaves out, and why, and what it asks of every test besides: nothing but
this page knows. tests/run-sanitized says how the programs are run.

A sanitizer that finds anything writes a report and ends the process; a test in whose time one has come
fails with its text, whatever the test itself thought of it."""
import os
import pathlib
import re

import pytest

from harness import SANITIZED

TRAINS = "trains with TensorFlow or PyTorch, whose own code takes nearly all of the time"
BROWSER = "Chromium does not come up within a minute where the sanitizers are loaded before it"
STRACE = "LeakSanitizer does not work under strace"
FORKS = ("forks while the client's thread allocates: gcc 12's ASan leaves the locks of its allocator in "
         "the child as they are, and nobody there lets go of them")
TIME = "bounds the time of a post, of which the sanitizers take several times as much"
MEMORY = "asks whether memory stays as it was, and ASan keeps for a while what was freed"
COSTS = "counts instructions or memory of the plain build"
PLAIN = "looks at how the plain build is made"
OTHERS = "is about pages, or about programs that it builds itself"

LEFT_OUT = {
    "test_articles.py": TRAINS,
    "test_browser.py": BROWSER,
    "test_client.py::test_no_call_after_open_makes_a_system_call": STRACE,
    "test_docs.py": OTHERS,
    "test_growth.py": COSTS,
    "test_hardening.py::test_how_it_is_compiled": PLAIN,
    "test_hardening.py::test_how_it_is_linked": PLAIN,
    "test_hardening.py::test_the_unit_is_hardened": PLAIN,
    "test_ingest_cost.py": COSTS,
    "test_keras_budget.py": TRAINS,
    "test_keras_compiled.py": TRAINS,
    "test_keras_examples.py": TRAINS,
    "test_keras_faults.py": TRAINS,
    "test_keras_gradients.py": TRAINS,
    "test_keras_ids.py": TRAINS,
    "test_keras_masks.py": TRAINS,
    "test_keras_shapes.py": TRAINS,
    "test_keras_training.py": TRAINS,
    "test_keras_vocabulary.py": TRAINS,
    "test_long_run.py::test_a_run_of_100000_steps_and_20_layers": MEMORY,
    "test_python_client.py::test_a_fork_is_inert": FORKS,
    "test_python_ids.py::test_a_hundred_thousand_ids_take_less_than_a_millisecond": TIME,
    "test_python_wheel.py": OTHERS,
    "test_python_workers.py": TRAINS,
    "test_summarize_cost.py": COSTS,
    "test_tcp.py::test_beyond_this_machine_nothing_is_bound_without_a_token": STRACE,
    "test_trainer_unharmed.py::test_a_trainer_beside_a_daemon_does_not_grow": MEMORY,
    "test_verdicts.py": TRAINS,
}

# What the sanitizers may add where a test bounds the memory of a process: 16 MiB that were freed
# (tests/run-sanitized), an eighth of all as shadow, and around each of a full queue's frames the room
# that nobody may touch.
ROOM_KIB = 64 << 10 if SANITIZED else 0

# What LSan says of a thread that forbids itself every system call and so never ends, as that of
# tests/tools/load.c --alone.
NOT_SUSPENDED = re.compile(r"==\d+==Running thread \d+ was not suspended. False leaks are possible.\n")


def skip_left_out(items):
    """Marks the tests of this list. Whole files were not even read, but where they were asked for."""
    for item in items:
        name = item.path.name
        why = LEFT_OUT.get(name) or LEFT_OUT.get(f"{name}::{item.originalname}")
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


class Reports:
    """What the sanitizers say of the processes that this one starts."""

    def __init__(self, folder):
        self.folder = folder
        for runtime in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            os.environ[runtime] = re.sub("log_path=[^:]*", f"log_path={folder}/report",
                                         os.environ[runtime])

    def take(self):
        """The text of those that have come since the last time."""
        said = ""
        for path in sorted(self.folder.glob("report.*")):
            said += NOT_SUSPENDED.sub("", path.read_text(errors="replace"))
            path.unlink()
        return said
