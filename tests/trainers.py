"""Trainers for the black-box tests: tests/tools/load.c driven from Python, its gradients known by a
formula, and the embmond beside it, which can be killed, stopped and started again.

    with Embmond() as daemon, Load(daemon.address, "--world", "2", run="a") as trainer:
        trainer.steps(0, 9)             # posts these steps; the counts after them
        counts = trainer.end()          # closes; the last counts, asserted to conserve
"""

import json
import math
import os
import pathlib
import socket
import subprocess
import time

import pytest

import harness
import readers

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("EMBMON_BUILD", "build")
ELEMENTS = 63
NORM = 0.01 * math.sqrt(20 * ELEMENTS)  # of every gradient at --scale 1
NOBODY = "unix:/nonexistent/embmond.sock"
PATIENCE = 60.0  # for what must come, however loaded the machine is


def until(condition, what="what is waited for", patience=PATIENCE):
    """What condition() returns as soon as it is true."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {patience:.0f} s"
        time.sleep(0.02)
    return value


def environment(address, **extra):
    """Ours with embmond's address, and without what would rename or join runs."""
    keys = ("EMBMON_RUN", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")
    kept = {key: value for key, value in os.environ.items() if key not in keys}
    return {**kept, "EMBMON_ADDRESS": address, **extra}


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Embmond(harness.Daemon):
    """harness.Daemon, asked about one run. start() again after kill() or stop()."""

    def __init__(self, *options, prefix=(), **named):
        super().__init__(*options, start=False, **named)
        self.arguments = [*map(str, prefix), *self.arguments]

    def limit(self, **limits):
        """Sets keys of `limits` in its configuration file; before it is started."""
        config = self.folder / "config.yaml"
        config.write_text(json.dumps({"limits": limits}))  # which is YAML, too
        self.arguments += ["-c", str(config)]
        return self

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stderr=log,
                                            env=self.env, **self.popen)
        until(self.answers, "embmond's socket")
        return self

    def answers(self):
        assert self.alive(), self.log()
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    @property
    def address(self):
        return f"unix:{self.socket}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def run(self, name="load"):
        """What `embmonctl runs` says of it, {} while there is none."""
        return next((run for run in self.ask("runs") if run["name"] == name), {})

    def await_step(self, step, run="load", patience=PATIENCE):
        """Waits until the step is closed in the run."""
        def there():
            last = self.run(run).get("step")
            return last is not None and last >= step
        until(there, f"step {step} of {run}", patience)

    def await_written(self, step, run="load"):
        """Waits until the step can be read back from disk."""
        def there():
            shown_run = readers.python(self.logdir).get(run + "/embmon", readers.Run())
            return step in shown_run.steps("loss")
        until(there, f"step {step} of {run} on disk")

    def stop(self):
        """Ends it well; asserts that it does."""
        status = super().stop()
        assert status == 0, self.log()
        return status

    def recorded(self, run="load"):
        """What both readers show of the run once embmond has ended, every tag in order."""
        self.stop()
        return shown(self.logdir, run)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise


def shown(logdir, run="load"):
    """What both readers show of a run: steps strictly increase in every tag."""
    runs = readers.both(logdir)
    for each in runs.values():
        assert_in_order(each)
    return runs[run + "/embmon"]


def load_command(*arguments, run="load"):
    return [str(BUILD / "tools" / "load"), "--run", run, *map(str, arguments)]


def conserve(counts):
    assert counts["produced"] == (counts["acked"] + counts["rejected"] + counts["dropped"] +
                                  counts["in_flight"]), counts
    return counts


def load(address, *arguments, run="load", timeout=PATIENCE, stderr=None, **extra):
    """A whole training; its last counts, and what it wrote to stderr."""
    done = subprocess.run(load_command(*arguments, run=run), env=environment(address, **extra),
                          stdout=subprocess.PIPE, stderr=stderr or subprocess.PIPE, text=True,
                          timeout=timeout, check=False)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, (done.returncode, done.stderr)
    return conserve(json.loads(done.stdout.splitlines()[-1])), done.stderr


def unharmed(address, *arguments, stderr=None, prefix=(), timeout=300):
    """What tests/tools/unharmed.c found: the last line it says."""
    done = subprocess.run([*prefix, BUILD / "tools" / "unharmed", *map(str, arguments)],
                          stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=timeout,
                          check=False, env=environment(address))
    if done.returncode == 77:
        pytest.skip("no seccomp here")
    assert done.returncode == 0, f"status {done.returncode}"
    return conserve(json.loads(done.stdout.splitlines()[-1]))


def unharmed_at_best(address, *arguments, close_ms=math.inf, **named):
    """The same, at most three times: what a post costs comes again every time, but a virtual machine
    that is not scheduled by its host counts as time of the thread's, now and then: a loop that only
    reads the clock has seen 3 ms. With close_ms, that is how long closing shall take at most."""
    for _ in range(3):
        found = unharmed(address, *arguments, **named)
        print(found)
        if found["call_us_max"] < 1000 and found["close_ms_max"] < close_ms:
            break
    return found


class Load:
    """A training that posts the steps it is told to."""

    def __init__(self, address, *arguments, run="load", **extra):
        self.process = subprocess.Popen(
            load_command("--control", *arguments, run=run), env=environment(address, **extra),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stderr = ""

    def _say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.process.stderr.read()
        return conserve(json.loads(answer))

    def steps(self, first, last):
        """Posts the steps; the counts after it, longest_us being the slowest step's."""
        return self._say(f"{first} {last}")

    def counts(self):
        return self._say("")

    def run(self):
        """The run's name, once welcomed."""
        return until(lambda: self.counts()["run"], "the daemon's welcome")

    def settle(self):
        """Waits until every post is answered; the counts."""
        return until(lambda: (c := self.counts())["in_flight"] == 0 and c, "the daemon's answers")

    def kill(self):
        self.process.kill()
        self._finish()

    def end(self):
        """Closes the run; the last counts. Exit status 0 is asserted."""
        out, self.stderr = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, self.stderr
        return conserve(json.loads(out.splitlines()[-1]))

    def _finish(self):
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self._finish()


def assert_in_order(run):
    """Steps strictly increase in every tag of a readers.Run."""
    for kind in (run.scalars, run.histograms, run.texts):
        for tag, series in kind.items():
            steps = [step for step, _ in series]
            assert all(a < b for a, b in zip(steps, steps[1:])), (tag, steps)
