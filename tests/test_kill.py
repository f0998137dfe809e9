"""embmond is killed, stopped, absent, late: what the trainer and its TensorBoard see of it."""

import json
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "examples"))

import readers  # noqa: E402
import reviews  # noqa: E402
from trainers import (BUILD, ELEMENTS, NOBODY, PATIENCE, Embmond, Load, conserve,  # noqa: E402
                      environment, load, shown, until)

POSTS = 4   # of a step: two gradients, the loss, the end
SOON = 30.0 # far above what a step may take, far below what a stall would cost


@pytest.fixture
def daemon():
    with Embmond() as embmond:
        yield embmond


# ---- the example trainer: same weights, whatever becomes of the monitor


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    lines = reviews.fetch().read_text(encoding="utf-8").splitlines(keepends=True)[:6000]
    path = tmp_path_factory.mktemp("data") / "reviews.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def skipgram(data, address, steps=600):
    return subprocess.Popen(
        [BUILD / "examples" / "skipgram", "--data", data, "--run", "words", "--steps", str(steps),
         "--seed", "5"], env=environment(address), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True)


def finish(trainer):
    out, err = trainer.communicate(timeout=PATIENCE)
    assert trainer.returncode == 0, err
    return out.splitlines()[-1], err


@pytest.fixture(scope="module")
def undisturbed(data):
    """The weights as they come out with no monitor at all, which costs one line."""
    weights, err = finish(skipgram(data, NOBODY))
    assert weights.startswith("weights ")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("embmon: no daemon at unix:/nonexistent/embmond.sock: ")
    return weights


def test_killing_embmond_changes_nothing_for_the_trainer(daemon, data, undisturbed):
    trainer = skipgram(data, daemon.address)
    for line in trainer.stdout:
        if line.startswith("step ") and int(line.split()[1]) > 100:
            break
    daemon.kill()
    weights, err = finish(trainer)
    assert weights == undisturbed
    assert len(err.splitlines()) == 1, err
    assert err.startswith("embmon: lost the daemon at unix:")
    steps = shown(daemon.logdir, "words").steps("loss")
    assert steps == list(range(len(steps)))
    assert 0 < len(steps) < 600


def test_embmond_killed_again_and_again_changes_nothing_for_the_trainer(daemon, data, undisturbed):
    trainer = skipgram(data, daemon.address)
    done = threading.Event()

    def disturb():
        while not done.wait(0.2):
            daemon.kill()
            daemon.start()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        weights, _ = finish(trainer)
    finally:
        done.set()
        disturber.join()
    assert weights == undisturbed
    daemon.recorded("words")


# ---- one history


def test_a_new_daemon_goes_on_with_the_run(daemon):
    with Load(daemon.address) as trainer, readers.Live(daemon.logdir) as live:
        trainer.run()
        trainer.steps(0, 49)
        trainer.settle()
        daemon.await_written(49)
        assert live.both()["load/embmon"].steps("loss") == list(range(50))
        daemon.kill()
        trainer.steps(50, 59)
        daemon.start()
        until(lambda: trainer.counts()["connected"], "the reconnect")
        trainer.steps(60, 99)
        trainer.settle()
        daemon.await_written(99)
        assert live.both()["load/embmon"].steps("loss") == list(range(100))
        counts = trainer.end()
        assert (counts["run"], counts["reconnects"]) == ("load", 1)
        assert (counts["acked"], counts["rejected"], counts["dropped"]) == (100 * POSTS, 0, 0)
    assert "embmon: lost the daemon" in trainer.stderr
    assert "the daemon at" in trainer.stderr.splitlines()[1]
    assert len(trainer.stderr.splitlines()) == 2
    run = daemon.recorded()
    assert run.steps("loss") == list(range(100))
    assert len(daemon.event_files("load")) == 2
    assert [path.name for path in daemon.logdir.iterdir()] == ["load"]
    histogram = run.histograms["gradients/layer_00"]
    assert sum(rows[:, 2].sum() for _, rows in histogram) == 100 * ELEMENTS
    # The ladder goes on: from its 64th window on they are two steps wide.
    assert [step for step, _ in histogram] == [*range(64), *range(65, 100, 2)]


def test_steps_on_their_way_when_embmond_is_killed_are_there_once(daemon):
    """What was not acknowledged comes again; what was is in the checkpoint."""
    with Load(daemon.address, "--layers", 4) as trainer:
        trainer.run()
        for round_ in range(5):
            trainer.steps(round_ * 200, round_ * 200 + 199)
            daemon.kill()
            daemon.start()
            until(lambda: trainer.counts()["reconnects"] == round_ + 1, "the reconnect")
        counts = trainer.end()
        assert (counts["dropped"], counts["in_flight"], counts["rejected"]) == (0, 0, 0)
    run = daemon.recorded()
    assert run.steps("loss")[-1] == 999
    seen = sum(rows[:, 2].sum() for _, rows in run.histograms["gradients/layer_03"])
    assert seen == 1000 * ELEMENTS


def test_both_ranks_go_on_with_a_new_daemon(daemon):
    with Load(daemon.address, "--rank", 0, "--world", 2) as zero, \
            Load(daemon.address, "--rank", 1, "--world", 2) as one:
        for trainer in (zero, one):
            trainer.run()
            trainer.steps(0, 19)
        for trainer in (zero, one):
            trainer.settle()
        daemon.await_written(19)
        daemon.kill()
        for trainer in (zero, one):
            trainer.steps(20, 25)
        daemon.start()
        for trainer in (zero, one):
            until(lambda: trainer.counts()["connected"], "the reconnect")
        for trainer in (zero, one):
            assert trainer.settle()["rejected"] == 0
            trainer.steps(26, 30)
        for trainer in (zero, one):
            assert trainer.end()["acked"] == 31 * POSTS
    run = daemon.recorded()
    assert [(step, rows[:, 2].sum()) for step, rows in run.histograms["gradients/layer_01"]] == [
        (step, 2 * ELEMENTS) for step in range(31)]


def test_an_alert_of_before_is_not_fired_again_by_the_new_daemon(daemon):
    with Load(daemon.address, "--fault", "nan", "--at", 10) as trainer:
        trainer.run()
        trainer.steps(0, 29)
        trainer.settle()
        until(lambda: len(daemon.alerts_file("load")) == 2, "the alert on disk")
        daemon.await_written(29)
        daemon.kill()
        daemon.start()
        trainer.steps(30, 49)
        trainer.end()
    daemon.recorded()
    assert [(a["state"], a["step"]) for a in daemon.alerts_file("load")] == [
        ("firing", 10), ("resolved", 20)]


# ---- not there, not answering, late


def test_with_no_daemon_there_is_one_warning_and_nothing_else():
    counts, err = load(NOBODY, "--steps", 500, "--drain", 300, "--close", 300)
    assert (counts["produced"], counts["in_flight"]) == (500 * POSTS, 500 * POSTS)
    assert len(err.splitlines()) == 1, err
    assert "no daemon at unix:/nonexistent/embmond.sock" in err
    assert "start embmond" in err


def test_a_daemon_that_starts_after_the_trainer_gets_all(daemon):
    daemon.stop()
    with Load(daemon.address) as trainer:
        trainer.steps(0, 39)
        assert trainer.counts()["in_flight"] == 40 * POSTS
        first = trainer.process.stderr.readline()  # it has tried
        daemon.start()
        trainer.settle()
        counts = trainer.end()
        assert (counts["run"], counts["acked"], counts["dropped"]) == ("load", 40 * POSTS, 0)
    second, = trainer.stderr.splitlines()
    assert first.startswith("embmon: no daemon at unix:")
    assert "is there; run load; nothing was dropped" in second
    assert daemon.recorded().steps("loss") == list(range(40))


def test_a_stopped_daemon_does_not_hold_the_trainer(daemon):
    with Load(daemon.address) as trainer:
        trainer.run()
        trainer.steps(0, 4)
        trainer.settle()
        daemon.signal(signal.SIGSTOP)
        began = time.monotonic()
        slowest = 0
        step = 5
        while time.monotonic() - began < 3:
            slowest = max(slowest, trainer.steps(step, step + 9)["longest_us"])
            step += 10
            time.sleep(0.01)
        assert slowest < SOON * 1e6
        assert trainer.counts()["in_flight"] > 0
        daemon.signal(signal.SIGCONT)
        counts = trainer.settle()
        assert (counts["acked"], counts["rejected"]) == (step * POSTS, 0)
        assert (counts["dropped"], counts["reconnects"]) == (0, 0)
        trainer.end()
    run = daemon.recorded()
    assert sum(rows[:, 2].sum() for _, rows in run.histograms["gradients/layer_00"]) == (
        step * ELEMENTS)


def test_closing_beside_a_stopped_daemon_takes_no_longer_than_it_may(daemon):
    command = [BUILD / "tools" / "load", "--run", "load", "--steps", "50", "--welcome", "30000",
               "--drain", "0", "--close", "500", "--sleep", "1000"]
    trainer = subprocess.Popen(command, env=environment(daemon.address), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    until(lambda: daemon.run(), "the run")
    daemon.signal(signal.SIGSTOP)
    began = time.monotonic()
    out, err = trainer.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < SOON
    daemon.signal(signal.SIGCONT)
    assert trainer.returncode == 0, err
    conserve(json.loads(out.splitlines()[-1]))
