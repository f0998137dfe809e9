"""What all event files in the logdir take is bounded, those of old runs too."""

import shutil

import readers
from trainers import ELEMENTS, Embmond, Load, until

LIMIT = 16 << 20
NEARLY = LIMIT - LIMIT // 16


def old_run(daemon, size):
    """An event file of an earlier training, without blocks of its own."""
    folder = daemon.logdir / "old" / "embmon"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "events.out.tfevents.1700000000.x.1.0", "wb") as file:
        file.truncate(size)


def test_near_the_limit_histograms_wait_and_beyond_it_all_but_alerts():
    daemon = Embmond().limit(logdir_bytes=LIMIT)
    old_run(daemon, NEARLY + 1)
    with daemon, Load(daemon.address, "--fault", "nan", "--at", 25) as trainer:
        trainer.run()
        until(lambda: daemon.lines("histograms wait"), "thrift")
        status = daemon.status()
        assert "limits.logdir_bytes" in status["space"] and "old runs" in status["space"]
        assert NEARLY < status["limits"]["logdir_bytes"]["used"] < LIMIT
        trainer.steps(0, 9)
        trainer.settle()
        daemon.await_written(9)
        # Beyond it from the next count on, which comes soon while somebody waits for space.
        old_run(daemon, LIMIT + 1)
        until(lambda: daemon.lines("histograms and scalars wait"), "more thrift")
        trainer.steps(10, 39)
        trainer.settle()
        until(lambda: len(daemon.alerts_file("load")) >= 2, "the alert's lines")
        until(lambda: daemon.run()["bytes_pending"] == 0, "the rest on disk")
        run = readers.rust(daemon.logdir)["load/embmon"]
        assert run.steps("loss") == list(range(10)) and not run.steps("gradients/layer_01")
        assert run.steps("anomaly/layer_00") and run.steps("alerts/log")
        # Somebody moves the old run away.
        shutil.rmtree(daemon.logdir / "old")
        until(lambda: daemon.lines("all is written again"), "space")
        assert daemon.status()["space"] == ""
        trainer.steps(40, 49)
        trainer.end()
        run = daemon.recorded()
    assert run.steps("loss") == [*range(10), *range(40, 50)]
    assert sum(rows[:, 2].sum() for _, rows in run.histograms["gradients/layer_01"]) == (
        50 * ELEMENTS)


def test_old_runs_that_do_not_reach_it_are_no_matter():
    daemon = Embmond().limit(logdir_bytes=LIMIT)
    old_run(daemon, NEARLY - (1 << 20))
    with daemon, Load(daemon.address) as trainer:
        trainer.run()
        until(lambda: daemon.status()["limits"]["logdir_bytes"]["used"] >= NEARLY - (1 << 20),
              "the count")
        trainer.steps(0, 9)
        trainer.end()
        assert daemon.status()["space"] == ""
        daemon.stop()
        run = readers.rust(daemon.logdir)["load/embmon"]
        assert run.steps("gradients/layer_00") == list(range(10))
