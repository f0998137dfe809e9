"""Every call of embmond's to the system fails once, one after the other: nothing crashes, the trainer
ends as ever, and what is acknowledged is in the event files."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import readers  # noqa: E402
from harness import BUILD  # noqa: E402

SHIM = BUILD / "faults" / "shim.so"
STEPS, LAYERS = 40, 2
# Exit statuses that embmond documents; what fails while it starts may end it with one of these.
DOCUMENTED = {0, 64, 69, 71, 73, 74, 78}
# epoll_ctl is not among them: libuv ends the process where the kernel refuses one of its descriptors.
FAULTS = {
    "malloc": ["ENOMEM"], "calloc": ["ENOMEM"], "realloc": ["ENOMEM"],
    "write": ["ENOSPC", "EIO", "SHORT"], "openat": ["EMFILE", "EACCES"], "open": ["EMFILE"],
    "mkdirat": ["ENOSPC"], "close": ["EIO"], "accept4": ["EMFILE"],
    "read": ["EIO"], "socket": ["EMFILE"], "fcntl": ["EIO"], "fdatasync": ["EIO"], "fsync": ["EIO"],
    "renameat": ["ENOSPC", "EIO"], "linkat": ["ENOSPC"], "unlinkat": ["EIO"],
}
SLOW_US = {"fdatasync": 40_000}  # after a step: what comes once a second comes within them
LAST = 60  # calls of each kind that are made to fail one by one; beyond, every 17th
PER_FAULT_S = 60


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EMBMON_", "SHIM_"))}
    return {**kept, **{k: str(v) for k, v in more.items()}}


class Run:
    """embmond under the shim, a trainer beside it, both to their end."""

    def __init__(self, folder, call, **shim):
        self.logdir = folder / "runs"
        address = f"unix:{folder}/socket"
        with open(folder / "log", "w", encoding="utf-8") as log:
            daemon = subprocess.Popen(
                [BUILD / "embmond", "-l", self.logdir, "--listen", address], stderr=log,
                env=environment(LD_PRELOAD=SHIM, SHIM_ONLY="embmond", **shim))
        try:
            end = time.monotonic() + 5
            while daemon.poll() is None and not (folder / "socket").exists():
                assert time.monotonic() < end, "it neither serves nor ends"
                time.sleep(0.002)
            self.served = daemon.poll() is None
            self.counts = self._train(address, SLOW_US.get(call, 0)) if self.served else None
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
            self.status = daemon.wait(10)
        finally:
            daemon.kill()
        self.log = (folder / "log").read_text()

    @staticmethod
    def _train(address, sleep_us):
        done = subprocess.run(
            [BUILD / "tools" / "load", "--run", "run", "--steps", str(STEPS), "--layers",
             str(LAYERS), "--sleep", str(sleep_us), "--drain", "1000", "--close", "500"], capture_output=True, text=True,
            timeout=30, check=False, env=environment(EMBMON_ADDRESS=address))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


def calls(tmp_path, call):
    """How often embmond calls it, when nothing fails."""
    folder = tmp_path / "counting"
    folder.mkdir()
    run = Run(folder, call, SHIM_COUNTS=folder / "counts")
    assert run.status == 0 and run.counts["acked"] == run.counts["produced"] > 0
    lines = (folder / "counts").read_text().split("\n")
    return {name: int(n) for name, n in (line.split() for line in lines if line)}[call]


def numbers(count):
    """The calls of a kind to fail: the first ones, and then some."""
    return [*range(1, min(count, LAST) + 1), *range(LAST + 17, count + 1, 17)]


def check(run, what):
    assert run.status >= 0, f"{what}: killed by signal {-run.status}\n{run.log}"
    assert run.status in DOCUMENTED, f"{what}: status {run.status}\n{run.log}"
    if not run.served:
        assert run.status != 0 and "error" in run.log, f"{what}: ended without a word\n{run.log}"
        return
    counts = run.counts
    assert counts["produced"] == (counts["acked"] + counts["rejected"] + counts["dropped"]
                                  + counts["in_flight"]), what
    events = [path for path in run.logdir.rglob("events.out.tfevents.*") if path.stat().st_size]
    if events:
        readers.both(run.logdir)  # they agree, or it raises


@pytest.mark.parametrize("call", FAULTS)
def test_each_call_fails_once(call, tmp_path):
    count = calls(tmp_path, call)
    assert count > 0, f"embmond does not call {call}: nothing is tried"
    begin, done = time.monotonic(), 0
    for error in FAULTS[call]:
        for number in numbers(count):
            if time.monotonic() - begin > PER_FAULT_S:
                break
            folder = tmp_path / f"{error}-{number}"
            folder.mkdir()
            what = f"{call} {number} of {count}: {error}"
            check(Run(folder, call, SHIM_FAULT=f"{call}:{number}:{error}"), what)
            done += 1
    print(f"{call}: {done} runs, {count} calls")
