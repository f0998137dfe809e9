"""ThreadSanitizer over the client: the unit tests of its modules, and whole trainings of several threads
beside embmonds that come and go. What it finds ends the program with status 66; nothing is suppressed."""

import os
import pathlib
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import ROOT  # noqa: E402
from trainers import NOBODY, Embmond, environment  # noqa: E402

TOOLS = ROOT / "build" / "thread" / "tools"  # `make test-threads` has made them


def under_tsan(tool, *arguments, address):
    done = subprocess.run([TOOLS / tool, *map(str, arguments)], env=environment(address),
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stderr[-8000:]}"
    return done.stdout.split()


def test_it_finds_what_there_is(tmp_path):
    """The machine lets it work, and it is not silent."""
    (tmp_path / "race.c").write_text("""
#include <pthread.h>
static int shared;
static void *race(void *argument) { shared++; return argument; }
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, race, 0);
    shared++;
    return pthread_join(thread, 0);
}""")
    subprocess.run([os.environ.get("CC", "gcc"), "-fsanitize=thread", "-g", "-o", tmp_path / "race",
                    tmp_path / "race.c"], check=True)
    done = subprocess.run([tmp_path / "race"], capture_output=True, text=True, check=False)
    assert done.returncode == 66 and "data race" in done.stderr, done.stderr


@pytest.mark.parametrize("seconds", [8])
def test_threads_do_everything_at_once_while_embmond_comes_and_goes(seconds):
    over = threading.Event()
    with Embmond() as daemon:
        def disturb():
            while not over.wait(0.7):
                daemon.kill()
                daemon.start()
        disturber = threading.Thread(target=disturb)
        disturber.start()
        try:
            counts = under_tsan("together", seconds, address=daemon.address)
        finally:
            over.set()
            disturber.join()
    produced, *others = map(int, counts)
    assert produced == sum(others) and others[0] > 0


def test_threads_do_everything_at_once_without_a_daemon():
    produced, acked, *_ = map(int, under_tsan("together", 3, address=NOBODY))
    assert produced > 0 and acked == 0


def test_threads_declare_at_once():
    with Embmond() as daemon:
        for number in range(5):
            counts = under_tsan("declare", daemon.address, f"run{number}", address=daemon.address)
            assert counts == ["1601", "1601", "0", "0"]


def test_posting_beside_the_sender():
    with Embmond() as daemon:
        under_tsan("unharmed", "--traced", "--posts", 100_000, "--drain", 10_000,
                   address=daemon.address)
        under_tsan("load", "--layers", 20, "--steps", 3000, address=daemon.address)
