"""The disk fails in four ways while a trainer posts: it is full, it is read-only, its files are
deleted, it refuses to sync. Acks stop within a second, `embmonctl status` says why, writing goes on by
itself within two seconds, nothing that was acknowledged is lost, and the trainer's steps take as long
as before."""

import contextlib
import os
import re
import shutil
import statistics
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import test_disk_full  # noqa: E402
from harness import BUILD  # noqa: E402
from trainers import ELEMENTS, Embmond, Load, assert_in_order, shown, until  # noqa: E402

POSTS = 4  # of a step: two gradients, the loss, the end
BURST, PAUSE = 20, 0.02  # steps as fast as they go, and then seconds of rest
BEFORE, DURING = 2.0, 4.0  # seconds
STOPPED, RESUMED = 1.0, 2.0
MIB = 1 << 20


class Training:
    """Bursts of steps, and what became of each."""

    def __init__(self, trainer):
        self.trainer, self.step, self.samples = trainer, 0, []

    def burst(self):
        before = self.trainer.counts()
        began = time.monotonic()
        counts = self.trainer.steps(self.step, self.step + BURST - 1)
        self.step += BURST
        now = time.monotonic()
        self.samples.append({
            "at": now, "acked": counts["acked"], "steps_a_second": BURST / (now - began),
            "own_us": (counts["post_ns"] - before["post_ns"]) / 1e3 / BURST,
            "worst_us": counts["longest_us"]})
        time.sleep(PAUSE)

    def go_on(self, seconds):
        """The samples of so many seconds."""
        first, end = len(self.samples), time.monotonic() + seconds
        while time.monotonic() < end:
            self.burst()
        return self.samples[first:]

    def go_on_until(self, condition, patience=30):
        first, end = len(self.samples), time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, "it did not come"
            self.burst()
        return self.samples[first:]


def last_ack(samples, before):
    """When the last Ack came."""
    at, acked = samples[0]["at"], before
    for sample in samples:
        if sample["acked"] > acked:
            at, acked = sample["at"], sample["acked"]
    return at


def compare(record, what, before, during):
    """Steps beside a sick disk against those before, by ratios: the machine is not ours alone."""
    middle = {key: (statistics.median(s[key] for s in before), statistics.median(
        s[key] for s in during)) for key in ("steps_a_second", "own_us")}
    worst = [max(s["worst_us"] for s in samples) for samples in (before, during)]
    record("figure", f"disk {what}: steps a second {middle['steps_a_second'][0]:.0f} before, "
                     f"{middle['steps_a_second'][1]:.0f} meanwhile; own time of a step's posts "
                     f"{middle['own_us'][0]:.1f} us, {middle['own_us'][1]:.1f} us; worst step "
                     f"{worst[0]:.0f} us, {worst[1]:.0f} us")
    assert middle["steps_a_second"][1] >= middle["steps_a_second"][0] / 2, middle
    assert middle["own_us"][1] <= middle["own_us"][0] * 2, middle


def shimmed(flag, fault):
    """An embmond that fails so while the file `flag` is there."""
    env = {"LD_PRELOAD": str(BUILD / "faults" / "shim.so"), "SHIM_ONLY": "embmond",
           "SHIM_FAULT": fault, "SHIM_WHILE": str(flag)}
    return Embmond(env=env)


@contextlib.contextmanager
def training(daemon):
    with daemon, Load(daemon.address, "--close", 20000) as trainer:
        trainer.run()
        yield Training(trainer)


def suffer(daemon, train, fail, mend, expected, record, what, late=0.0):
    """Fails and mends, and looks at all that is promised. late: seconds that it may be noticed
    later."""
    train.go_on(1)
    before = train.go_on(BEFORE)
    fail()
    failed = time.monotonic()
    during = train.go_on(DURING)
    stopped = last_ack(during, before[-1]["acked"]) - failed
    acked = during[-1]["acked"]
    assert acked < train.step * POSTS
    status = daemon.status()
    assert re.search(expected, status["write_error"]), status["write_error"]
    assert status["write_error"].startswith("load: cannot "), status["write_error"]
    assert str(daemon.inside) + "/load/embmon/" in status["write_error"]
    assert status["write_failures"] > 0
    mend()
    mended = time.monotonic()
    train.go_on_until(lambda: train.samples[-1]["acked"] > acked)
    resumed = time.monotonic() - mended
    until(lambda: daemon.status()["write_error"] == "", "no trouble any more")
    record("figure", f"disk {what}: the last Ack {max(stopped, 0):.2f} s after it failed, the next "
                     f"one {resumed:.2f} s after it was mended")
    assert stopped <= STOPPED + late, stopped
    assert resumed <= RESUMED, resumed
    compare(record, what, before, during)
    train.go_on(1)
    counts = train.trainer.end()
    assert counts["acked"] == counts["produced"] == train.step * POSTS, counts
    assert (counts["dropped"], counts["rejected"]) == (0, 0)


def check_all_is_there(run, steps):
    assert_in_order(run)
    assert run.steps("loss")[-1] == steps - 1
    for layer in ("gradients/layer_00", "gradients/layer_01"):
        assert sum(rows[:, 2].sum() for _, rows in run.histograms[layer]) == steps * ELEMENTS
    assert {value for _, value in run.scalars["embmond/events_lost"]} == {0}


@pytest.mark.skipif(test_disk_full.WAY is None, reason="mounting a tmpfs is not permitted here")
def test_full(tmp_path, record_property):
    disk = test_disk_full.Disk(tmp_path / "disk", 16 * MIB)
    try:
        daemon = test_disk_full.embmond_on(disk)
        daemon.inside = disk.inside / "logs"
        with training(daemon) as train:
            suffer(daemon, train, disk.fill, disk.free,
                   "No space left on device: make some space", record_property, "full")
            daemon.stop()
            shutil.copytree(daemon.logdir, tmp_path / "copy")
        check_all_is_there(shown(tmp_path / "copy"), train.step)
    finally:
        disk.close()


def test_read_only(tmp_path, record_property):
    flag = tmp_path / "read-only"
    daemon = shimmed(flag, "changes:1+:EROFS")
    daemon.inside = daemon.logdir
    with training(daemon) as train:
        suffer(daemon, train, flag.touch, flag.unlink,
               "Read-only file system: make that disk writable", record_property, "read-only")
        check_all_is_there(daemon.recorded(), train.step)


def test_no_sync(tmp_path, record_property):
    """fdatasync fails, and goes on to fail. What the disk has not been asked yet nobody knows: the
    next time is with the next checkpoint, a second later at most, whose Ack goes before it."""
    flag = tmp_path / "broken"
    daemon = shimmed(flag, "fdatasync:1+:EIO")
    daemon.inside = daemon.logdir
    with training(daemon) as train:
        suffer(daemon, train, flag.touch, flag.unlink, "Input/output error: look at the kernel's log",
               record_property, "does not sync", late=0.3)
        assert daemon.run()["durable"] > 0
        check_all_is_there(daemon.recorded(), train.step)


def test_no_sync_once(tmp_path, record_property):
    """fdatasync fails once: what the kernel takes for written is written once more."""
    flag = tmp_path / "once"
    daemon = shimmed(flag, "fdatasync:1:EIO")
    with training(daemon) as train:
        train.go_on(1)
        before = train.go_on(BEFORE)
        flag.touch()
        train.go_on_until(lambda: daemon.lines("cannot sync"))
        failed, acked = time.monotonic(), train.samples[-1]["acked"]
        written = {path: path.stat().st_mtime_ns for path in daemon.event_files("load")}
        train.go_on_until(lambda: train.samples[-1]["acked"] > acked)
        resumed = time.monotonic() - failed
        assert resumed <= RESUMED, resumed
        assert len(daemon.lines("syncing again")) == 1
        assert len(daemon.lines("Input/output error; trying again twice a second: look")) == 1
        assert daemon.status()["write_failures"] == 1
        assert all(path.stat().st_mtime_ns > at for path, at in written.items())
        compare(record_property, "does not sync once", before, train.go_on(BEFORE))
        record_property("figure", f"disk does not sync once: the next Ack {resumed:.2f} s later")
        counts = train.trainer.end()
        assert counts["acked"] == counts["produced"] == train.step * POSTS, counts
        check_all_is_there(daemon.recorded(), train.step)


def test_deleted(record_property):
    """The logdir is deleted: what was in it is gone, which is said, and the rest is in a new one."""
    daemon = Embmond()
    with training(daemon) as train:
        train.go_on(1)
        before = train.go_on(BEFORE)
        at_most = train.step
        while daemon.logdir.exists():  # a checkpoint may come in between
            shutil.rmtree(daemon.logdir, ignore_errors=True)
        deleted, acked = time.monotonic(), before[-1]["acked"]
        during = train.go_on_until(lambda: daemon.run()["deleted"] > 0)
        said = time.monotonic() - deleted
        train.go_on_until(lambda: train.samples[-1]["acked"] > during[-1]["acked"])
        resumed = time.monotonic() - deleted
        assert said <= STOPPED + 0.5 and resumed <= RESUMED, (said, resumed)
        (line,) = daemon.lines("were deleted")
        lost = daemon.run()["deleted"]
        assert f", {lost} posts that were acknowledged; going on in new files" in line
        assert acked <= lost <= (at_most + 5 * BURST) * POSTS, (acked, lost, at_most)
        compare(record_property, "deleted", before, train.go_on(BEFORE))
        record_property("figure", f"logdir deleted: said {said:.2f} s later, the next Ack "
                                  f"{resumed:.2f} s later")
        counts = train.trainer.end()
        assert counts["acked"] == counts["produced"] == train.step * POSTS, counts
        run = daemon.recorded()
        assert_in_order(run)
        # All that was not acknowledged before is there: whole steps, to the last.
        kept = lost // POSTS
        assert run.steps("loss")[-1] == train.step - 1
        for layer in ("gradients/layer_00", "gradients/layer_01"):
            elements = sum(rows[:, 2].sum() for _, rows in run.histograms[layer])
            assert (train.step - kept) * ELEMENTS <= elements < train.step * ELEMENTS, elements
