"""embmond is killed 200 times, at random moments, while 8 ranks post: what was posted is in the event
files once, and everything is as if it had never been killed.

Half of the ranks are libembmon, half are the reference of exactly_once.py. All runs have the same
training; only the moments differ."""

import os
import random
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from exactly_once import Books, Rank  # noqa: E402
from trainers import ELEMENTS, Embmond, Load, shown, until  # noqa: E402

RUNS, KILLS = 20, 10
STEPS, WORLD = 300, 8
FILE = 65536  # bytes of an event file until the next one is begun
# Steps with a NaN in the first layer, none next to another: which of two is seen first hangs on which
# rank is.
NANS = (40, 90, 150, 210, 280)
READY = 1.0  # seconds a new embmond may take until it answers
PACE = 0.012  # seconds between two steps while it is being killed


class Training:
    """8 ranks, of whom the first 4 are libembmon."""

    def __init__(self, daemon):
        self.books, self.step, self.daemon = Books(), 0, daemon
        self.dice = random.Random(1)
        self.loads = [Load(daemon.address, "--rank", rank, "--world", WORLD, "--layers", 3,
                           "--close", 20000) for rank in range(WORLD // 2)]
        self.ranks = [Rank(self.books, daemon.socket, rank, WORLD)
                      for rank in range(WORLD // 2, WORLD)]

    def _gradients(self, first):
        values = {layer: [self.dice.choice((-1, 1)) * self.dice.uniform(0.01, 0.1)
                          for _ in range(self.dice.randrange(1, 60))] for layer in Rank.LAYERS}
        if first and self.step in NANS:
            values["layer_00"][0] = float("nan")
        return values

    def post(self):
        for load in self.loads:
            load.steps(self.step, self.step)
            for layer in Rank.LAYERS:
                self.books.enter(layer, self.step, [1.0] * ELEMENTS)
        for rank in self.ranks:
            rank.step(self.step, self._gradients(rank is self.ranks[0]))
        self.step += 1

    def pump(self, hurry=False):
        return all([rank.pump(hurry) for rank in self.ranks])

    def end(self):
        """All of it, to the end; what of libembmon's posts became of them."""
        while self.step < STEPS:
            self.post()
            self.pump()
        until(lambda: self.pump(hurry=True), "the answers to the reference's posts")
        for load in self.loads:
            until(lambda load=load: self.pump() and load.counts()["in_flight"] == 0,
                  "the answers to libembmon's")
        for rank in self.ranks:
            rank.close(bye=True)
        return [load.end() for load in self.loads]

    def __enter__(self):
        for load in self.loads:
            load.run()
        until(lambda: self.pump() or all(rank.welcomed for rank in self.ranks), "Welcome")
        return self

    def __exit__(self, *_):
        for load in self.loads:
            load.__exit__()
        for rank in self.ranks:
            rank.close()


def alerts(daemon):
    """The changes in alerts.jsonl. NaNs are judged over the ranks that are there by then: numbers and
    sentences hang on who was first."""
    keys = ("detector", "layer", "state", "severity", "step", "first_step", "reason")
    return [[alert[key] for key in keys] for alert in daemon.alerts_file("load")]


def outline(run):
    """Of every tag its records: their steps, and the counts of histograms. Where the layer has alerts
    it hangs on who was first how far its open window had come."""
    return {tag: [(step, value[:, 2].tolist() if kind == "histograms" else None)
                  for step, value in series]
            for kind in ("scalars", "histograms") for tag, series in getattr(run, kind).items()
            if not tag.startswith("alerts/") and not tag.endswith("/layer_00")}


def check(training, counts, daemon):
    """Every post is answered and recorded once; what both readers show."""
    posted = STEPS * (len(Rank.LAYERS) + 2)
    for rank in training.ranks:
        assert (rank.kept, rank.lost_nacks) == (posted, 0)
    for count in counts:
        assert (count["acked"], count["rejected"], count["dropped"]) == (posted, 0, 0), count
    assert len(daemon.alerts_file("load")) > 0
    run = shown(daemon.logdir)
    training.books.check(run)
    return run


@pytest.fixture(scope="module")
def undisturbed():
    """The same training under an embmond that lives."""
    with Embmond() as daemon, Training(daemon) as training:
        counts = training.end()
        daemon.stop()
        return outline(check(training, counts, daemon)), alerts(daemon)


def train_and_kill(daemon, training, dice, kills):
    """Kills it at random moments; how long the slowest new one took to be ready."""
    slowest = 0
    for _ in range(kills):
        end, last = time.monotonic() + dice.uniform(0, 0.6), 0
        while (now := time.monotonic()) < end:
            if training.step < STEPS and now - last >= PACE:
                last = now
                training.post()
            training.pump()
            time.sleep(0.001)
        daemon.kill()
        began = time.monotonic()
        daemon.start()
        slowest = max(slowest, time.monotonic() - began)
    return slowest


@pytest.mark.parametrize("seed", range(RUNS))
def test_200_kills(seed, undisturbed, record_property):
    with Embmond().limit(file_bytes=FILE) as daemon, Training(daemon) as training:
        slowest = train_and_kill(daemon, training, random.Random(seed), KILLS)
        counts = training.end()
        daemon.stop()
        run = check(training, counts, daemon)
        assert alerts(daemon) == undisturbed[1]
        assert outline(run) == undisturbed[0]
        assert not daemon.lines("of no use") and not daemon.lines("no checkpoint"), daemon.log()
        assert slowest < READY
        record_property("figure", f"kill -9, run {seed + 1} of {RUNS}: {KILLS} kills, "
                                  f"{STEPS * WORLD * (len(Rank.LAYERS) + 2)} posts recorded once, "
                                  f"ready in {slowest:.2f} s")
