"""The power fails at any moment: 10,000 states that the disk may be in then, and in each of them the
next embmond has all that was acknowledged as durable, and alerts.jsonl is whole lines, none of them
twice. In some of them the trainer is still there, as one on another machine, and sends what is not
known: then all alerts are there once, as if nothing had been."""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from exactly_once import Books, Rank  # noqa: E402
from harness import BUILD  # noqa: E402
from power_loss import Disk, operations, promised  # noqa: E402
from trainers import Embmond, until  # noqa: E402

STATES, AGAIN = 10000, 50
NANS = (5, 30, 60, 100, 150, 200)
POSTS = len(Rank.LAYERS) + 2  # of a step
LIVES = (60, 90, 0)  # writes after which an embmond is killed; 0: it ends well
LIFE_STEPS, PACE = 80, 0.05
# The fdatasync that fails: of the event file, of alerts.jsonl, of the checkpoint.
FAILING, FAILING_STATES, FAILING_STEPS = (10, 11, 12), 400, 80
TAKEN_UP = (1, 2, 3, 4, 5)  # the fsync of a file in the folder
FILE = 65536  # bytes of an event file until the next one is begun


class Recorded(Embmond):
    """One whose operations on files are written down; it may be killed at its nth write."""

    def live(self, fault=""):
        self.env |= {"LD_PRELOAD": str(BUILD / "faults" / "shim.so"), "SHIM_ONLY": "embmond",
                     "SHIM_RECORD": str(self.folder / "record"), "SHIM_FAULT": fault}
        self.start()


def post(rank, step, dice):
    values = {layer: [dice.uniform(-1, 1) for _ in range(dice.randrange(1, 30))]
              for layer in Rank.LAYERS}
    if step in NANS:
        values["layer_00"][0] = float("nan")
    rank.step(step, values)
    rank.pump()


class Keeper(Rank):
    """One that could send everything once more."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.all = {}

    def _post(self, kind, **fields):
        super()._post(kind, **fields)
        self.all[self.sequence] = self.waiting[self.sequence]


def record(daemon, books):
    """A training beside embmonds that are killed: its trainer, and how many steps it had."""
    dice, step = random.Random(1), 0
    rank = Keeper(books, daemon.socket, 0, 1)
    try:
        for writes in LIVES:
            daemon.live(f"write:{writes}:KILL" if writes else "")
            end = time.monotonic() + 20
            last = step + LIFE_STEPS
            while daemon.alive() and (writes or step < last):
                assert time.monotonic() < end, "it was not killed"
                post(rank, step, dice)
                step += 1
                time.sleep(PACE)
        until(lambda: rank.pump(hurry=True) and rank.durable == rank.sequence, "durable")
    finally:
        rank.close()
    daemon.stop()
    return rank, step


def parse(data):
    """(where it ends, layer, step, elements) of each whole histogram of gradients."""
    at = 0
    while at + 12 <= len(data):
        n = int.from_bytes(data[at:at + 8], "little")
        if at + 16 + n > len(data):
            return
        payload = data[at + 12:at + 12 + n]
        at += 16 + n
        event = Event.FromString(payload) if b"gradients/" in payload else Event()
        for value in event.summary.value:
            if value.tag.startswith("gradients/"):
                rows = np.frombuffer(value.tensor.tensor_content).reshape(-1, 3)
                yield at, value.tag[len("gradients/"):], event.step, int(rows[:, 2].sum())


def common(a, b):
    """How many bytes both begin with."""
    n = min(len(a), len(b))
    differ = np.frombuffer(a, np.uint8, n) != np.frombuffer(b, np.uint8, n)
    return int(differ.argmax()) if differ.any() else n


class EventFiles:
    """What is in the files of a state, as far as a reader comes: to the first record that is not
    whole. Those that the power failure has left begin as what was written, which is read once."""

    def __init__(self, done, root):
        disk = Disk(root)
        for op in done:
            disk.take(op)
        folder = disk.top.names["load"].names["embmon"]
        self.written = {name: bytes(file.data) for name, file in folder.names.items()
                        if "tfevents" in name}
        self.parsed = {name: list(parse(data)) for name, data in self.written.items()}

    def records(self, folder):
        for path in sorted(folder.glob("events.out.tfevents.*")):
            data = path.read_bytes()
            if path.name in self.written:
                whole = common(data, self.written[path.name])
                yield from (record for record in self.parsed[path.name] if record[0] <= whole)
            else:
                yield from parse(data)


KEYS = ("detector", "layer", "state", "step", "first_step", "severity", "reason")


def alerts(folder):
    """What is in alerts.jsonl: whole lines, none of them twice."""
    text = (folder / "alerts.jsonl").read_text()
    assert not text or text.endswith("\n"), text[-200:]
    found = [tuple(alert[key] for key in KEYS) for alert in map(json.loads, text.splitlines())]
    assert len(found) == len(set(found)), found
    return found


def check(folder, books, files, durable, kept):
    """Everything up to the post of this number is recorded once, and nothing is twice."""
    assert kept >= durable
    last = dict.fromkeys(Rank.LAYERS, -1)
    for _, layer, step, elements in files.records(folder):
        assert step > last[layer], (layer, step)
        steps = range(last[layer] + 1, step + 1)
        safe = sum(books.elements[layer][s] for s in steps
                   if s * POSTS + 1 + Rank.LAYERS.index(layer) <= durable)
        posted = sum(books.elements[layer][s] for s in steps)
        assert safe <= elements <= posted, (layer, steps, durable)
        last[layer] = step
    for i, layer in enumerate(Rank.LAYERS):
        assert (last[layer] + 1) * POSTS + i + 1 > durable, (layer, last[layer], durable)
    fired = [step for detector, _, state, step, *_ in alerts(folder)
             if (detector, state) == ("gradient_nonfinite", "firing")]
    for nan in (n for n in NANS if (n + 1) * POSTS <= durable):
        assert fired.count(nan) == 1, (nan, fired)


def try_states(moments, books, files, folder, dice):
    """moments: the disk, what was promised by then, and how many of its states to try."""
    recover = subprocess.Popen([BUILD / "tools" / "recover"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    tried = 0
    with recover:
        for disk, durable, times in moments:
            for _ in range(times):
                logdir = folder / "state"
                disk.state(dice, logdir)
                recover.stdin.write(f"{logdir}\n")
                recover.stdin.flush()
                kept = int(recover.stdout.readline())
                if durable:
                    check(logdir / "load" / "embmon", books, files, durable, kept)
                shutil.rmtree(logdir)
                tried += 1
        recover.stdin.close()
    return tried


def weights(done):
    """How much of an operation is to be tried: more where a file has just begun, of a new embmond or
    behind one that is full."""
    since = len(done)
    for op in done:
        since = 0 if op.what == "create" and "tfevents" in op.path else since + 1
        yield 5 if since < 25 else 1


def moments(done, root, states):
    """The disk after each operation, so many times that all together are the states."""
    disk, durable, sums = Disk(root), 0, [0, *itertools.accumulate(weights(done))]
    for op, so_far, then in zip(done, sums, sums[1:]):
        disk.take(op)
        durable = max(durable, promised(op))
        yield disk, durable, then * states // sums[-1] - so_far * states // sums[-1]


class Training:
    """What was trained, what embmond has done to its files meanwhile, and its alerts in the end."""

    def __init__(self):
        daemon, self.books = Recorded(), Books()
        try:
            daemon.limit(file_bytes=FILE)
            daemon.logdir.mkdir()
            self.rank, self.steps = record(daemon, self.books)
            self.done, self.root = list(operations(daemon.folder / "record")), daemon.logdir
            self.files = EventFiles(self.done, self.root)
            self.alerts = alerts(daemon.logdir / "load" / "embmon")
        finally:
            daemon.discard()


@pytest.fixture(scope="module")
def training():
    return Training()


def test_10000_states(training, tmp_path, record_property):
    began = time.monotonic()
    tried = try_states(moments(training.done, training.root, STATES), training.books,
                       training.files, tmp_path, random.Random(2))
    files = len(training.files.written)
    assert tried == STATES
    assert files >= 2 * len(LIVES), "hardly any file was long enough for a next one"
    record_property("figure", f"power fails: {tried} of {STATES} states have all that was durable; "
                              f"{len(training.done)} operations of {len(LIVES)} embmonds on {files} "
                              f"event files, {training.steps} steps, "
                              f"{time.monotonic() - began:.0f} s")


def send_again(training, daemon):
    """The trainer is still there: it sends what the next embmond does not know, to the end."""
    rank = Keeper(Books(), daemon.socket, 0, 1)
    rank.hello |= {"session": training.rank.hello["session"], "given": "load"}
    rank.waiting, rank.sequence = dict(training.rank.all), training.rank.sequence
    until(lambda: rank.pump(hurry=True), "the answers")
    assert rank.lost_nacks == 0
    rank.close()
    daemon.stop()


def test_what_comes_again_is_not_said_twice(training, tmp_path, record_property):
    dice, tried = random.Random(3), 0
    assert [(a[0], a[2], a[3]) for a in training.alerts if a[2] == "firing"] == [
        ("gradient_nonfinite", "firing", nan) for nan in NANS]
    for disk, durable, times in moments(training.done, training.root, AGAIN):
        if not times or not durable:
            continue
        logdir = tmp_path / f"state-{tried}"
        disk.state(dice, logdir)
        with Embmond(logdir=logdir) as daemon:
            send_again(training, daemon)
        folder = logdir / "load" / "embmon"
        check(folder, training.books, training.files, durable, durable)
        assert alerts(folder) == training.alerts, daemon.log()
        tried += 1
        shutil.rmtree(logdir)
    assert tried > AGAIN // 2
    record_property("figure", f"power fails and the trainer goes on: {tried} times all alerts are "
                              "there once")


def record_failing(daemon, books, faults):
    """A training beside embmonds that have these faults, the last of them to its end."""
    dice, rank, step = random.Random(1), Rank(books, daemon.socket, 0, 1), 0
    try:
        for fault in faults:
            daemon.live(fault)
            last = step + FAILING_STEPS
            while daemon.alive() and (step < last or fault.endswith("KILL")):
                post(rank, step, dice)
                step += 1
                time.sleep(PACE)
        until(lambda: rank.pump(hurry=True) and rank.durable == rank.sequence, "durable")
    finally:
        rank.close()
    daemon.stop()
    return list(operations(daemon.folder / "record"))


def try_failing(faults, folder):
    """States of a disk beside such embmonds."""
    books, daemon = Books(), Recorded()
    try:
        daemon.logdir.mkdir()
        done = record_failing(daemon, books, faults)
        assert any(op.what == "failed" for op in done), "nothing has failed"
        assert any(op.what == "again" for op in done) or "event" not in next(
            op.path for op in done if op.what == "failed"), "nothing was written again"
        folder.mkdir()
        return try_states(moments(done, daemon.logdir, FAILING_STATES), books,
                          EventFiles(done, daemon.logdir), folder, random.Random(2))
    finally:
        daemon.discard()


def test_a_sync_has_failed_before(tmp_path, record_property):
    """The kernel forgets what it could not write: it is written once more before it is durable."""
    tried = sum(try_failing((f"fdatasync:{number}:EIO",), tmp_path / str(number))
                for number in FAILING)
    assert tried == len(FAILING) * FAILING_STATES
    record_property("figure", f"power fails after a sync has failed: {tried} states have all that was "
                              "durable")


def test_a_sync_of_what_was_taken_up_has_failed_before(tmp_path, record_property):
    """The same of what an embmond had written that was killed before its sync."""
    tried = sum(try_failing(("write:60:KILL", f"fsync:{number}:EIO"), tmp_path / str(number))
                for number in TAKEN_UP)
    assert tried == len(TAKEN_UP) * FAILING_STATES
    record_property("figure", f"power fails after the first sync of a new embmond has failed: {tried} "
                              "states have all that was durable")
