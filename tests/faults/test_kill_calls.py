"""embmond is killed at its nth call of each kind that touches a file, n = 1 ... 40, and started again:
what was posted is in the event files once."""

import concurrent.futures
import os
import random
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import readers  # noqa: E402
from exactly_once import Books, Rank  # noqa: E402
from harness import BUILD  # noqa: E402
from trainers import Embmond, assert_in_order, until  # noqa: E402

CALLS = ("write", "openat", "renameat", "linkat", "unlinkat", "fdatasync", "fsync")
LAST, AT_ONCE = 40, 20
NAN, PACE = 4, 0.05
FILE = 65536  # bytes of an event file until the next one is begun
GIVE_UP = 70.0  # seconds in which the call must have come


class Mortal(Embmond):
    """One that may die at any moment, also before it answers."""

    def __init__(self, call, number):
        super().__init__()
        self.limit(file_bytes=FILE)
        self.logdir.mkdir()
        self.arguments = ["/usr/bin/env", f"LD_PRELOAD={BUILD / 'faults' / 'shim.so'}",
                          "SHIM_ONLY=embmond", f"SHIM_FAULT={call}:{number}:KILL", *self.arguments]

    def answers(self):
        return not self.alive() or super().answers()

    def start_unharmed(self):
        self.arguments = self.arguments[4:]
        return self.start()


def post(rank, step, dice):
    values = {layer: [dice.uniform(-1, 1) for _ in range(dice.randrange(1, 20))]
              for layer in Rank.LAYERS}
    if step == NAN:
        values["layer_00"][0] = float("nan")
    rank.step(step, values)
    rank.pump(hurry=True)  # a checkpoint every 100 ms


def train(daemon, books):
    """Until it is dead, and then on with another one, in the same run."""
    dice, step, rank = random.Random(1), 0, Rank(books, daemon.socket, 0, 1)
    began = time.monotonic()
    try:
        while daemon.alive():
            assert time.monotonic() - began < GIVE_UP, "the call did not come"
            post(rank, step, dice)
            step += 1
            time.sleep(PACE)
        daemon.wait()
        daemon.start_unharmed()
        for step in range(step, max(step, NAN) + 20):
            post(rank, step, dice)
        until(lambda: rank.pump(hurry=True), "the answers")
        assert rank.lost_nacks == 0
        rank.close(bye=True)
    finally:
        rank.close()
    assert rank.hello["given"] == "load"


def killed_at(call, number):
    with Mortal(call, number) as daemon:
        books = Books()
        train(daemon, books)
        assert daemon.stop() == 0
        runs = readers.both(daemon.logdir) if number % 8 == 0 else readers.python(daemon.logdir)
        run = runs["load/embmon"]
        assert list(runs) == ["load/embmon"]
        assert_in_order(run)
        books.check(run)
        alerts = [(a["state"], a["step"]) for a in daemon.alerts_file("load")
                  if a["detector"] == "gradient_nonfinite"]
        assert alerts == [("firing", NAN), ("resolved", NAN + 10)], (call, number, alerts)
        assert not daemon.lines("of no use"), daemon.log()


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_each_call(call, record_property):
    began, numbers = time.monotonic(), range(1, LAST + 1)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for each in [pool.submit(killed_at, call, number) for number in numbers]:
            each.result()
    record_property("figure", f"killed at {call} 1 ... {LAST}: all recorded once, "
                              f"{time.monotonic() - began:.0f} s")
