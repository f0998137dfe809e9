"""What the demos and the verdicts share: an embmond of their own, trainers beside it, the judge, and
how a judgement is printed.

The judge compares what embmond said (alerts.jsonl) with what the trainer wrote down itself
(--record). It never asks embmond when a run became sick.
"""
import json
import math
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("EMBMON_BUILD", "build")
TABLES = ("input/embedding", "output/embedding")
DETECTOR = {
    "vanishing": "gradient_vanishing",
    "exploding": "gradient_exploding",
    "nan": "gradient_nonfinite",
}
ALLOWED_DELAY = 20  # sampled steps from the first sick step to the alert


class Daemon:
    """An embmond on a private socket, for the time of a `with` block."""

    def __init__(self, logdir):
        self.logdir = pathlib.Path(logdir)

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="embmon-")
        self.address = "unix:" + os.path.join(self.folder, "embmond.sock")
        self.process = None
        self.log = tempfile.TemporaryFile(mode="w+")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        """Starts embmond, again if it has ended, and returns when it answers."""
        self.process = subprocess.Popen(
            [BUILD / "embmond", "-q", "--logdir", self.logdir, "--listen", self.address],
            stdin=subprocess.DEVNULL, stderr=self.log)
        deadline = time.monotonic() + 10
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("embmond did not start: " + self.said())
            time.sleep(0.02)

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.address.removeprefix("unix:")) == 0

    def said(self):
        """What embmond logged so far."""
        self.log.seek(0)
        return self.log.read().strip()

    def finish(self):
        """Lets embmond write what it has, and ends it. It must have been there until now."""
        if self.process.poll() is not None or self.stop() != 0:
            raise RuntimeError(f"embmond ended with {self.process.returncode}: {self.said()}")

    def stop(self):
        """Ends embmond, and returns its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def skipgram(data, run, record, *, fault="none", steps=1500, seed=1, rate=0.1, extra=()):
    """The command line of one training."""
    return [str(BUILD / "examples" / "skipgram"), "--data", str(data), "--run", run,
            "--record", str(record), "--fault", fault, "--steps", str(steps), "--seed", str(seed),
            "--rate", str(rate), *extra]


def environment(address):
    """Our environment with embmond's address, and without what would rename or join runs."""
    keys = ("EMBMON_RUN", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")
    kept = {key: value for key, value in os.environ.items() if key not in keys}
    return {**kept, "EMBMON_ADDRESS": address}


class Alerts:
    """The alert changes of a run, in order, read as they are written."""

    def __init__(self, logdir, run):
        self.path = pathlib.Path(logdir) / run / "embmon" / "alerts.jsonl"
        self.offset = 0
        self.all = []

    def new(self):
        """The changes written since the last call. A line still being written waits."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[:text.rfind(b"\n") + 1]
        self.offset += len(whole)
        changes = [json.loads(line) for line in whole.splitlines()]
        self.all += changes
        return changes

    def fired(self, least="warning"):
        """What fired at that severity or above: {(detector, layer): step it first fired at}."""
        self.new()
        severities = ("info", "warning", "critical")
        first = {}
        for change in self.all:
            severe = severities.index(change["severity"]) >= severities.index(least)
            if change["state"] == "firing" and severe:
                first.setdefault((change["detector"], change["layer"]), change["step"])
        return first


class Record:
    """What a trainer wrote down itself: the loss, and per table the norm of its gradient, the rows
    touched and the elements that are not finite, of every step from 0 on."""

    def __init__(self, path):
        with open(path, encoding="ascii") as file:
            lines = [line.split() for line in file]
        self.steps = [int(line[0]) for line in lines]
        self.loss = [float(line[1]) for line in lines]
        self.norms = [[float(line[2 + 3 * t]) for line in lines] for t in (0, 1)]
        self.touched = [[int(line[3 + 3 * t]) for line in lines] for t in (0, 1)]
        self.nonfinite = [[int(line[4 + 3 * t]) for line in lines] for t in (0, 1)]


def first_sick_steps(fault, record, twin):
    """{table: its first sick step}, of the tables that became sick. twin: the record of the healthy
    training with the same seed and the right rate."""
    sick = {}
    for t, table in enumerate(TABLES):
        if fault == "nan":
            bad = [count > 0 for count in record.nonfinite[t]]
        elif fault == "exploding":
            limit = 100 * statistics.median(twin.norms[t])
            loss_limit = 5 * record.loss[0]
            bad = [not norm <= limit or not loss <= loss_limit
                   for norm, loss in zip(record.norms[t], record.loss)]
        else:
            low = [norm < 1e-3 * healthy for norm, healthy in zip(record.norms[t], twin.norms[t])]
            bad = [all(low[i:i + 20]) and i + 20 <= len(low) for i in range(len(low))]
        if any(bad):
            sick[table] = record.steps[bad.index(True)]
    return sick


class Verdict:
    """ok: what must be said of the run was said, in time. sick and named: steps, or None."""

    def __init__(self, fault, alerts, record, twin=None):
        fired = alerts.fired()
        self.fault, self.sick, self.named, self.tables = fault, None, None, []
        self.others = sorted({detector for detector, _ in fired} - {DETECTOR.get(fault)})
        if fault == "none":
            watched = alerts.path.exists()
            self.ok = watched and not fired
            self.text = (f"nothing flagged in {len(record.steps):,} steps" if self.ok else
                         "flagged: " + _list(fired) if watched else "embmond has no such run")
            return
        sick = first_sick_steps(fault, record, twin)
        at = {layer: step for (detector, layer), step in fired.items()
              if detector == DETECTOR[fault]}
        self._judge(sick, at)
        self.text = self._say(at)

    def _judge(self, sick, at):
        must = {"vanishing": list(TABLES), "exploding": sorted(at, key=at.get)[:1],
                "nan": sorted(sick, key=lambda table: (sick[table], TABLES.index(table)))[:1]}
        self.tables = must[self.fault]
        self.sick = min(sick.values(), default=None)
        self.ok = bool(self.tables) and self.sick is not None and all(
            table in TABLES and table in at
            and at[table] <= sick.get(table, self.sick) + ALLOWED_DELAY
            for table in self.tables)
        # A rate far too high shows in the first update, before it shows in norm and loss; the other
        # two cannot be known before they are there.
        if self.ok and self.fault != "exploding":
            self.ok = all(at[table] >= sick.get(table, math.inf) for table in self.tables)
        self.named = max((at[table] for table in self.tables if table in at), default=None)

    def _say(self, at):
        if self.sick is None:
            return "the run did not become sick"
        named = [table for table in self.tables if table in at]
        where = " and ".join(f"{table} at step {at[table]}" for table in named)
        if len(named) == 2 and at[named[0]] == at[named[1]]:
            where = f"both tables at step {at[named[0]]}"
        said = f"{DETECTOR[self.fault]} on {where}" if where else f"no {DETECTOR[self.fault]}"
        return f"{said}; first sick step {self.sick}"


def _list(fired):
    return ", ".join(f"{detector} {layer} at step {step}"
                     for (detector, layer), step in fired.items())


def _row(label, verdicts):
    """One line of the Markdown table."""
    good = sum(verdict.ok for verdict in verdicts)
    delays = [verdict.named - verdict.sick for verdict in verdicts
              if verdict.named is not None and verdict.sick is not None]
    spread = f"{min(delays)} / {statistics.median(delays):g} / {max(delays)}" if delays else "-"
    others = ", ".join(sorted({name for verdict in verdicts for name in verdict.others})) or "-"
    return f"| {label} | {good} of {len(verdicts)} | {spread} | {others} |"


def report(heading, judged, begin, folder):
    """Prints every verdict, and how many of each kind are right as a Markdown table. judged: {kind:
    {training: Verdict}}; heading: of the kinds. Returns the exit status."""
    verdicts = [(name, verdict) for of_kind in judged.values() for name, verdict in of_kind.items()]
    print()
    for name, verdict in verdicts:
        print(f"{'ok  ' if verdict.ok else 'MISS'} {name}: {verdict.text}")
    print()
    print(f"| {heading} | right | steps from first sick to alert (min / median / max) | also fired |")
    print("|---|---|---|---|")
    for kind, of_kind in judged.items():
        print(_row(kind, of_kind.values()))
    print("\nBelow 0: a rate far too high shows in the first update, before norm and loss grew.")
    good = all(verdict.ok for _, verdict in verdicts)
    print(f"\n{'All as it must be' if good else 'NOT as it must be'}: "
          f"{time.monotonic() - begin:.0f} s, runs and records in {folder.relative_to(ROOT)}")
    return 0 if good else 1


def end_with(name, main):
    """Ends the process with what main() returns; Ctrl-C and what went wrong are no traceback."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        sys.exit(f"{name}: {error}")
