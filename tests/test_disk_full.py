"""A full disk, on a small tmpfs in a mount namespace of its own: nothing is torn, what matters is
kept, and embmond goes on by itself."""

import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

import readers
from trainers import (ELEMENTS, Embmond, Load, assert_in_order, conserve, load, rss_kib, shown,
                      until)

POSTS = 4  # of a step: two gradients, the loss, the end
MACHINE = 3.0  # seconds a busy machine may add to what is promised
MIB = 1 << 20


def _first_that_works():
    """How a process gets a mount namespace here, and how another enters it."""
    ways = ((["unshare", "-m"], ["nsenter", "-m"]),
            (["unshare", "-rm"], ["nsenter", "-U", "-m", "--preserve-credentials"]))
    for make, enter in ways:
        test = [*make, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
        if not shutil.which("unshare") or not shutil.which("nsenter"):
            return None
        if subprocess.run(test, capture_output=True, check=False).returncode == 0:
            return make, enter
    return None


WAY = _first_that_works()
pytestmark = pytest.mark.skipif(
    WAY is None, reason="mounting a tmpfs is not permitted here, as root or in a user namespace")


class Disk:
    """A tmpfs that only those who enter its namespace see; we look through /proc."""

    def __init__(self, folder, size):
        folder.mkdir()
        self.holder = subprocess.Popen(
            [*WAY[0], "sh", "-c", 'mount -t tmpfs -o size="$1" none "$0" && echo && exec cat',
             str(folder), str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"\n"
        self.enter = [*WAY[1], "-t", str(self.holder.pid)]
        self.inside = folder
        self.folder = pathlib.Path(f"/proc/{self.holder.pid}/root{folder}")

    def fill(self):
        """Takes all that is left, to the last byte of its pages."""
        with open(self.folder / "filler", "ab", buffering=0) as filler:
            for size in (MIB, 4096, 1):
                try:
                    while filler.write(b"\0" * size) == size:
                        pass
                except OSError:
                    continue

    def free(self):
        os.unlink(self.folder / "filler")

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture
def disk(tmp_path):
    made = []

    def make(size):
        made.append(Disk(tmp_path / "disk", size))
        return made[0]

    yield make
    for each in made:
        each.close()


def embmond_on(disk):
    daemon = Embmond(prefix=disk.enter, logdir=disk.inside / "logs")
    daemon.logdir = disk.folder / "logs"  # as seen from here
    return daemon


def trouble(daemon):
    return daemon.run().get("write_error")


def recorded(daemon, tmp_path):
    """What both readers show at the end: of a copy, since the tmpfs goes with its last process."""
    daemon.stop()
    shutil.copytree(daemon.logdir, tmp_path / "copy")
    return shown(tmp_path / "copy")


def test_writing_resumes_by_itself_and_nothing_is_torn(disk, tmp_path):
    disk = disk(4 * MIB)
    with embmond_on(disk) as daemon, Load(daemon.address, "--fault", "nan", "--at", 60) as trainer:
        trainer.run()
        trainer.steps(0, 49)
        trainer.settle()
        daemon.await_written(49)
        with readers.Live(daemon.logdir) as live:
            disk.fill()
            size = sum(path.stat().st_size for path in daemon.event_files("load"))
            counts = trainer.steps(50, 199)
            daemon.await_step(199)
            # Merged all the same, and not acknowledged: the trainer still has it, too.
            until(lambda: trouble(daemon), "the trouble in `embmonctl runs`")
            time.sleep(1)
            counts = trainer.counts()
            assert (counts["acked"], counts["rejected"]) == (50 * POSTS, 0)
            assert counts["in_flight"] == 150 * POSTS
            (run,) = daemon.ask("runs")
            assert run["write_error"] == "No space left on device"
            assert run["bytes_pending"] > 0
            status = daemon.status()
            assert status["bytes_pending"] == run["bytes_pending"]
            assert re.fullmatch(r"load: cannot write /\S+/load/embmon/\S+: No space left on device: "
                                r"make some space on that disk, .*", status["write_error"]), status
            assert status["write_failures"] >= 1
            # The alert reaches the log although no file can take it.
            assert len(daemon.lines("critical firing: gradient_nonfinite layer_00, step 60")) == 1
            assert len(daemon.lines("No space left on device; trying again every second: ")) == 1
            grown = sum(path.stat().st_size for path in daemon.event_files("load")) - size
            assert grown <= 2 * 4096  # what was left of the last page
            full = live.both()["load/embmon"]
            assert_in_order(full)
            assert full.steps("loss")[:50] == list(range(50))
            disk.free()
            freed = time.monotonic()
            until(lambda: trouble(daemon) == "", "writing again")
            assert trainer.settle()["acked"] == 200 * POSTS
            assert time.monotonic() - freed < 2 + MACHINE
            until(lambda: daemon.run()["bytes_pending"] == 0, "the rest on disk")
            assert len(daemon.lines("writing again")) == 1
            assert live.both()["load/embmon"].steps("loss") == list(range(200))
        trainer.steps(200, 219)
        trainer.end()
        run = recorded(daemon, tmp_path)
    assert run.steps("loss") == list(range(220))
    assert sum(rows[:, 2].sum() for _, rows in run.histograms["gradients/layer_01"]) == (
        220 * ELEMENTS)
    assert {value for _, value in run.scalars["embmond/events_lost"]} == {0}


def test_alert_lines_wait_for_the_disk_too(disk, tmp_path):
    disk = disk(MIB)
    with embmond_on(disk) as daemon, Load(daemon.address, "--fault", "nan", "--at", 5) as trainer:
        trainer.run()
        trainer.steps(0, 2)
        trainer.settle()
        disk.fill()
        trainer.steps(3, 40)
        until(lambda: daemon.lines("critical firing: gradient_nonfinite"))
        disk.free()
        until(lambda: len(daemon.alerts_file("load")) == 2, "the alert's lines")
        assert [(a["state"], a["step"]) for a in daemon.alerts_file("load")] == [
            ("firing", 5), ("resolved", 15)]
        trainer.end()
        run = recorded(daemon, tmp_path)
    assert run.steps("anomaly/layer_00") == list(range(5, 15))


def test_a_daemon_killed_on_a_full_disk_leaves_nothing_that_stops_the_next(disk, tmp_path):
    disk = disk(MIB)
    with embmond_on(disk) as daemon, Load(daemon.address) as trainer:
        trainer.run()
        trainer.steps(0, 9)
        trainer.settle()
        daemon.await_written(9)
        disk.fill()
        trainer.steps(10, 59)
        until(lambda: trouble(daemon), "the trouble")
        daemon.kill()  # with half a checkpoint on disk, most likely
        disk.free()
        daemon.start()
        until(lambda: trainer.counts()["connected"], "the reconnect")
        trainer.steps(60, 99)
        assert trainer.end()["acked"] == 100 * POSTS
        run = recorded(daemon, tmp_path)
    assert run.steps("loss") == list(range(100))
    assert sum(rows[:, 2].sum() for _, rows in run.histograms["gradients/layer_01"]) == (
        100 * ELEMENTS)
    assert len(daemon.event_files("load")) == 2


def test_it_is_tried_again_every_second_and_no_more_often(disk, tmp_path):
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    disk = disk(MIB)
    with embmond_on(disk) as daemon, Load(daemon.address) as trainer:
        trainer.run()
        trainer.steps(0, 2)
        trainer.settle()
        disk.fill()
        trainer.steps(3, 100)
        until(lambda: trouble(daemon), "the trouble")
        trace = tmp_path / "trace"
        strace = subprocess.Popen(["strace", "-f", "-e", "trace=write", "-o", trace, "-p",
                                   str(daemon.process.pid)], stderr=subprocess.PIPE, text=True)
        if "attached" not in strace.stderr.readline():
            pytest.skip("ptrace is not allowed here")
        began = time.monotonic()
        step = 101
        while time.monotonic() - began < 3.5:
            trainer.steps(step, step)
            step += 1
            time.sleep(0.05)
        seconds = time.monotonic() - began
        strace.terminate()
        strace.communicate()
        tries = [line for line in trace.read_text().splitlines() if "ENOSPC" in line]
        assert 2 <= len(tries) <= seconds + 1
        disk.free()
        until(lambda: trouble(daemon) == "", "writing again")


def test_what_waits_is_bounded_and_histograms_wait_first(disk, tmp_path):
    """Far more than 32 MiB, with no space for it at all, and then with space again."""
    steps, layers = 12_000, 45
    disk = disk(100 * MIB)
    with embmond_on(disk) as daemon:
        with Load(daemon.address, "--layers", layers) as first:
            first.run()
            first.steps(0, 2)
            first.settle()
            disk.fill()
            first.kill()
        # What the trainer has no room for is merged already: all was sent, and may still be answered.
        counts, _ = load(daemon.address, "--layers", layers, "--first", 3, "--steps", steps,
                         "--sleep", 1500, "--drain", 0, "--close", 0, "--resume", "--fault", "nan",
                         "--at", steps - 500, timeout=300)
        assert (counts["dropped"], counts["in_flight"]) == (0, counts["produced"])
        (run,) = daemon.ask("runs")
        assert run["acked"] == (steps + 3) * (layers + 2)
        assert 12 * MIB < run["bytes_pending"] <= 32 * MIB
        assert rss_kib(daemon.process.pid) < 100 << 10
        assert len(daemon.lines("critical firing: gradient_nonfinite layer_00")) == 1
        disk.free()
        until(lambda: daemon.run()["bytes_pending"] == 0, "the rest on disk")
        with Load(daemon.address, "--layers", layers, "--resume") as last:
            last.run()
            last.steps(steps + 3, steps + 80)
            last.end()
        daemon.stop()
        runs = readers.rust(daemon.logdir)
    run = runs["load/embmon"]
    assert_in_order(run)
    # Histograms have waited first, then scalars; nothing was lost, and the alert did not wait.
    assert run.scalars["embmond/events_lost"][-1][1] == 0
    assert run.steps("gradients/layer_07")[-1] == run.steps("loss")[-1] == steps + 80
    gaps = {kind: max(b - a for a, b in zip(run.steps(tag), run.steps(tag)[1:]))
            for kind, tag in (("histogram", "gradients/layer_07"), ("scalar", "loss"))}
    assert gaps["histogram"] > steps / 2 and gaps["histogram"] > gaps["scalar"], gaps
    assert sum(rows[:, 2].sum() for _, rows in run.histograms["gradients/layer_07"]) == (
        steps + 81) * ELEMENTS
    assert any("gradient_nonfinite" in text for _, text in run.texts["alerts/log"])


def test_a_disk_that_is_nearly_full_is_left_some_space(disk, tmp_path):
    """Windows wait while less than a twentieth is free, and are written when there is more."""
    disk = disk(32 * MIB)
    with embmond_on(disk) as daemon, Load(daemon.address) as trainer:
        trainer.run()
        trainer.steps(0, 9)
        trainer.settle()
        daemon.await_written(9)
        disk.fill()
        with open(disk.folder / "filler", "r+b") as filler:  # leaves a fortieth
            filler.truncate(os.path.getsize(disk.folder / "filler") - 32 * MIB // 40)
        until(lambda: daemon.lines("histograms wait, and their windows become wider"), "thrift")
        size = sum(path.stat().st_size for path in daemon.event_files("load"))
        trainer.steps(10, 59)
        trainer.settle()
        until(lambda: daemon.run()["step"] == 59, "the last step")
        time.sleep(1)
        grown = sum(path.stat().st_size for path in daemon.event_files("load")) - size
        assert not trouble(daemon) and grown < 60000, grown
        disk.free()
        until(lambda: daemon.lines("all is written again"), "space")
        trainer.steps(60, 60)
        trainer.settle()
        daemon.await_written(60)
        conserve(trainer.end())
        shown_run = recorded(daemon, tmp_path)
    # Whole windows, nothing lost: what the steps had is in the histograms.
    assert [step for step, _ in shown_run.histograms["gradients/layer_00"]] == [*range(10), 60]
    assert sum(rows[:, 2].sum() for _, rows in shown_run.histograms["gradients/layer_00"]) == \
        61 * ELEMENTS
    assert shown_run.steps("loss")[-1] == 60
