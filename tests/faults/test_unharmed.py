"""Whatever is wrong with the daemon: 200,000 posts of all kinds make no system call in the thread that
posts, none of them takes it a millisecond, every post is counted once, and closing takes no longer
than it was allowed to."""

import pathlib
import shutil
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import trouble  # noqa: E402
from trainers import BUILD, environment, unharmed, unharmed_at_best  # noqa: E402

POSTS = 200_000
CLOSE_MS = 200
CYCLES = 20


@pytest.fixture(params=trouble.STATES)
def state(request, tmp_path_factory):
    with trouble.STATES[request.param](tmp_path_factory.mktemp("s")) as given:
        yield given


def test_posting_costs_its_caller_nothing_but_the_summary(state):
    found = unharmed_at_best(state.address, "--posts", POSTS, "--spread", 3000, "--close", CLOSE_MS,
                             close_ms=CLOSE_MS + 100, stderr=state.stderr)
    assert found["call_us_max"] < 1000
    # The caller was told of every post that it was turned away; the rest the sender has dropped.
    assert found["accepted"] + found["turned_away"] == POSTS
    assert found["produced"] + found["skipped"] == POSTS
    assert found["dropped"] >= found["turned_away"]
    assert found["close_ms_max"] < CLOSE_MS + 100


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_strace_sees_no_call_of_the_posting_thread(state, tmp_path):
    unharmed(state.address, "--traced", "--posts", POSTS, "--close", CLOSE_MS,
             stderr=state.stderr, prefix=("strace", "-ff", "-o", tmp_path / "trace"))
    between = []
    for path in tmp_path.glob("trace.*"):
        calls = path.read_text(errors="replace").splitlines()
        markers = [i for i, call in enumerate(calls) if call.startswith("getppid(")]
        if markers:
            assert len(markers) == 2
            between.append(calls[markers[0] + 1:markers[1]])
    assert between == [[]]


def test_closing_takes_no_longer_than_it_may(state):
    """20 of 20 times."""
    found = unharmed_at_best(state.address, "--posts", 1000, "--close", CLOSE_MS, "--cycles", CYCLES,
                             close_ms=CLOSE_MS + 100, stderr=state.stderr)
    assert found["close_ms_max"] < CLOSE_MS + 100


def test_ending_without_a_close_takes_no_time(state):
    with subprocess.Popen([BUILD / "tools" / "unharmed", "--posts", "10000", "--leave"],
                          stdout=subprocess.PIPE, stderr=state.stderr, text=True,
                          env=environment(state.address)) as trainer:
        assert trainer.stdout.readline() == "leaving\n"
        began = time.monotonic()
        assert trainer.wait(10) == 0
        assert time.monotonic() - began < 0.1
