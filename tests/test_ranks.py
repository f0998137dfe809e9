"""Several ranks, several sessions, several launches: what becomes one record, and what does not."""

import contextlib
import math
import os
import select
import socket
import threading
import time

import pytest

from harness import proto
from trainers import ELEMENTS, NORM, Embmond, Load, load, shown, until

LAYERS = 2
POSTS = LAYERS + 2  # of a step: a gradient per layer, the loss, the step's end
ELSEWHERE = 30.0    # far above any step of a trainer, far below what a stall would cost


@pytest.fixture
def daemon():
    with Embmond() as embmond:
        yield embmond
        embmond.stop()


@contextlib.contextmanager
def ranks(daemon, *scales, run="load", extra=(), **environment):
    """One trainer per scale, all of one launch and welcomed."""
    with contextlib.ExitStack() as stack:
        trainers = [stack.enter_context(
            Load(daemon.address, "--rank", rank, "--world", len(scales), "--scale", scale, *extra,
                 run=run, **environment)) for rank, scale in enumerate(scales)]
        for trainer in trainers:
            trainer.run()
        yield trainers


def counts_by_step(run, tag="gradients/layer_00"):
    return {step: rows[:, 2].sum() for step, rows in run.histograms[tag]}


# ---- one record


def test_two_ranks_are_one_record_with_merged_counts(daemon):
    with ranks(daemon, 1, 3) as (zero, one):
        zero.steps(0, 29)
        one.steps(0, 29)
        for trainer in (zero, one):
            counts = trainer.end()
            assert (counts["acked"], counts["rejected"]) == (30 * POSTS, 0)
    run = daemon.recorded()
    assert run.steps("loss") == list(range(30))
    assert counts_by_step(run) == {step: 2 * ELEMENTS for step in range(30)}
    # Of scales 1 and 3: the root of the mean of the squares.
    assert [v for _, v in run.scalars["gradient_norm/layer_01"]] == pytest.approx(
        [NORM * math.sqrt((1 + 9) / 2)] * 30, rel=1e-5)
    assert run.scalars["embmond/ranks"] == [(step, 2.0) for step in range(30)]
    for _, rows in run.histograms["gradients/layer_00"]:
        assert (rows[0, 0], rows[-1, 1]) == pytest.approx((0.01, 0.21))


@pytest.mark.parametrize("world", [1, 2, 5])
def test_the_norm_does_not_grow_with_the_number_of_ranks(daemon, world):
    with ranks(daemon, *[1] * world) as trainers:
        for trainer in trainers:
            trainer.steps(0, 3)
        for trainer in trainers:
            assert trainer.end()["acked"] == 4 * POSTS
    run = daemon.recorded()
    assert counts_by_step(run) == {step: world * ELEMENTS for step in range(4)}
    for tag in ("gradient_norm", "gradient_norm_min", "gradient_norm_max"):
        values = [value for _, value in run.scalars[f"{tag}/layer_00"]]
        assert values == pytest.approx([NORM] * 4, rel=1e-5)
    assert run.scalars["loss"] == [(step, 0.5) for step in range(4)]


def test_a_nonfinite_value_names_its_rank(daemon):
    with contextlib.ExitStack() as stack:
        trainers = [stack.enter_context(Load(
            daemon.address, "--rank", rank, "--world", 3, "--at", 4, "--fault",
            "nan" if rank == 1 else "none", "--fault-layer", 1)) for rank in range(3)]
        for trainer in trainers:
            trainer.run()
        for trainer in trainers:
            trainer.steps(0, 19)
        for trainer in trainers:
            trainer.end()
    alerts = daemon.alerts_file("load")
    assert [(a["detector"], a["state"], a["layer"], a["ranks"]) for a in alerts] == [
        ("gradient_nonfinite", "firing", "layer_01", [1]),
        ("gradient_nonfinite", "resolved", "layer_01", [1])]
    assert (alerts[0]["step"], alerts[0]["value"]) == (4, 1)
    run = daemon.recorded()
    assert counts_by_step(run, "gradients/layer_01")[4] == 3 * ELEMENTS - 1


# ---- a rank that is gone, late, or back


def test_a_killed_rank_does_not_stall_the_others(daemon):
    with ranks(daemon, 1, 1) as (zero, one):
        for trainer in (zero, one):
            trainer.steps(0, 9)
        daemon.await_step(9)
        one.kill()
        killed = time.monotonic()
        counts = zero.steps(10, 200)
        assert counts["longest_us"] < ELSEWHERE * 1e6
        assert time.monotonic() - killed < ELSEWHERE
        daemon.await_step(200)
        # 5 s after the first of these was ended; what is above is the machine's load.
        assert 4 < time.monotonic() - killed < 5 + ELSEWHERE
        then = time.monotonic()
        zero.steps(201, 240)
        daemon.await_step(240)
        assert time.monotonic() - then < 4  # the missing rank is not waited for again
        counts = zero.end()
        assert (counts["acked"], counts["rejected"], counts["dropped"]) == (241 * POSTS, 0, 0)
    run = daemon.recorded()
    assert run.steps("loss") == list(range(241))
    assert [n for _, n in run.scalars["embmond/ranks"]] == [2.0] * 10 + [1.0] * 231


def test_what_comes_late_is_counted_and_never_written(daemon):
    with ranks(daemon, 1, 3) as (zero, one):
        zero.steps(0, 9)
        one.steps(0, 4)  # lives on, and says so every second
        daemon.await_step(9)
        late = one.steps(5, 9)
        late = one.settle()
        assert (late["rejected"], late["acked"]) == (5 * POSTS, 5 * POSTS)
        one.steps(10, 15)  # ends steps that are open: it is waited for again
        one.settle()
        zero.steps(10, 15)
        counts = [trainer.end() for trainer in (zero, one)]
        assert [c["rejected"] for c in counts] == [0, 5 * POSTS]
        assert [c["acked"] for c in counts] == [16 * POSTS, 11 * POSTS]
        (status,) = daemon.ask("status")
        assert (status["acked"], status["rejected"]) == (27 * POSTS, 5 * POSTS)
    run = daemon.recorded()
    together = [2 * ELEMENTS if not 5 <= step <= 9 else ELEMENTS for step in range(16)]
    assert list(counts_by_step(run).items()) == list(enumerate(together))
    assert run.scalars["embmond/rejected"][-1] == (15, 5 * POSTS)


def test_a_step_that_goes_back_is_late(daemon):
    with Load(daemon.address) as trainer:
        trainer.steps(0, 9)
        trainer.settle()
        trainer.steps(3, 3)
        trainer.steps(10, 12)
        counts = trainer.end()
        assert (counts["acked"], counts["rejected"]) == (13 * POSTS, POSTS)
    run = daemon.recorded()
    assert run.steps("loss") == list(range(13))


def test_a_rank_that_says_goodbye_is_not_waited_for(daemon):
    with ranks(daemon, 1, 1) as (zero, one):
        for trainer in (zero, one):
            trainer.steps(0, 4)
        one.end()
        then = time.monotonic()
        zero.steps(5, 24)
        daemon.await_step(24)
        assert time.monotonic() - then < 4
        assert daemon.run("load")["live"]
        zero.end()
    assert daemon.recorded().steps("loss") == list(range(25))


class Cable:
    """A socket between trainer and embmond that can be pulled out."""

    def __init__(self, folder, to):
        self.to, self.open = str(to), []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "cable.sock"))
        self.listener.listen()
        self.address = f"unix:{folder}/cable.sock"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.to)
            self.open.append((near, far))
            threading.Thread(target=self.carry, args=(near, far), daemon=True).start()

    @staticmethod
    def carry(near, far):
        with near, far, contextlib.suppress(OSError, ValueError):
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    (far if ready is near else near).sendall(data)

    def pull(self):
        for pair in self.open:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.open = []

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.pull()


@pytest.fixture
def cable(daemon):
    made = Cable(daemon.folder, daemon.socket)
    yield made
    made.close()


def test_a_broken_connection_loses_and_repeats_nothing(daemon, cable):
    with Load(cable.address) as trainer:
        trainer.run()
        for pulled in range(5):
            trainer.steps(pulled * 50, pulled * 50 + 49)
            trainer.settle()
            cable.pull()
            trainer.steps(1000 + pulled, 1000 + pulled) if pulled == 4 else None
            until(lambda: trainer.counts()["reconnects"] == pulled + 1)
        counts = trainer.end()
        assert (counts["acked"], counts["rejected"], counts["dropped"]) == (251 * POSTS, 0, 0)
    run = daemon.recorded()
    assert run.steps("loss") == [*range(250), 1004]
    # Histograms are of windows by now: nothing is missing and nothing is there twice.
    assert sum(counts_by_step(run).values()) == 251 * ELEMENTS
    assert len(daemon.event_files("load")) == 1


def test_a_connection_that_breaks_within_a_step_ends_that_step_alone(daemon, cable):
    """A lost connection ends the open step: what comes of it afterwards is late, and counted."""
    with Load(cable.address) as trainer:
        trainer.run()
        for pulled in range(5):
            trainer.steps(pulled * 50, pulled * 50 + 49)
            cable.pull()  # with posts on their way, most likely
            until(lambda: trainer.counts()["reconnects"] == pulled + 1)
        counts = trainer.end()
        assert counts["acked"] + counts["rejected"] == 250 * POSTS
        assert counts["rejected"] < 5 * POSTS
    run = daemon.recorded()
    seen = sum(counts_by_step(run).values())
    assert seen % ELEMENTS == 0
    assert 250 * ELEMENTS - counts["rejected"] * ELEMENTS <= seen <= 250 * ELEMENTS


def test_a_session_whose_welcome_was_lost_is_not_a_second_run(daemon):
    """As when embmond was stopped for longer than a client waits for its answer."""
    session = os.urandom(16)
    with daemon.peer() as impatient:
        impatient.send(proto.Hello(protocol_min=1, protocol_max=1, session=session, name="load",
                                   rank=0, world_size=1))
        until(lambda: daemon.run(), "the run")
    until(lambda: daemon.lines("connection is gone"))
    with daemon.trainer("load", session=session) as trainer:
        assert trainer.run == "load"
        trainer.step(0)
        trainer.settle()
    assert len(daemon.ask("runs")) == 1


# ---- sessions and launches


def test_a_killed_rank_is_taken_over_with_resume(daemon):
    with ranks(daemon, 1, 1) as (zero, one):
        for trainer in (zero, one):
            trainer.steps(0, 9)
        daemon.await_step(9)
        one.kill()
        until(lambda: "connection is gone" in daemon.log())
        with Load(daemon.address, "--rank", 1, "--world", 2, "--resume") as again:
            assert again.run() == "load"
            assert again.counts()["next_step"] == 10
            for trainer in (again, zero):
                trainer.steps(10, 19)
            assert again.end()["rejected"] == 0
        assert zero.end()["rejected"] == 0
    run = daemon.recorded()
    assert counts_by_step(run) == {step: 2 * ELEMENTS for step in range(20)}


def test_a_rank_that_is_held_is_not_given_away(daemon):
    with Load(daemon.address, run="a") as first:
        first.steps(0, 4)
        first.run()
        with Load(daemon.address, run="a") as second:
            assert second.run() == "a-2"
            assert not first.counts()["rejected"]
            second.end()
        first.end()


def test_an_ended_run_goes_on_with_resume(daemon):
    with Load(daemon.address, run="a/b") as first:
        first.steps(0, 9)
        first.end()
    with Load(daemon.address, "--resume", run="a/b") as second:
        assert second.run() == "a/b"
        assert second.counts()["next_step"] == 10
        second.steps(10, 19)
        assert second.end()["rejected"] == 0
    assert daemon.recorded("a/b").steps("loss") == list(range(20))


def test_both_ranks_of_a_resumed_launch_meet(daemon):
    with ranks(daemon, 1, 1) as trainers:
        for trainer in trainers:
            trainer.steps(0, 9)
        for trainer in trainers:
            trainer.end()
    with ranks(daemon, 1, 1, extra=("--resume",)) as (zero, one):
        assert [t.counts()["next_step"] for t in (zero, one)] == [10, 10]
        for trainer in (zero, one):
            trainer.steps(10, 14)
        for trainer in (zero, one):
            assert trainer.end()["rejected"] == 0
    run = daemon.recorded()
    assert counts_by_step(run) == {step: 2 * ELEMENTS for step in range(15)}


def test_a_resumed_run_may_go_back_to_no_recorded_step(daemon):
    with Load(daemon.address) as first:
        first.steps(0, 9)
        first.end()
    with Load(daemon.address, "--resume") as second:
        second.run()
        second.steps(5, 14)  # from a checkpoint older than what is recorded
        assert second.end()["rejected"] == 5 * POSTS
    assert daemon.recorded().steps("loss") == list(range(15))


def test_the_same_named_run_again_becomes_another(daemon):
    for name in ("a", "a-2", "a-3"):
        counts, _ = load(daemon.address, "--steps", 10, "--welcome", 30000, run="a")
        assert (counts["run"], counts["acked"]) == (name, 10 * POSTS)
    assert "run a exists already: this one becomes a-2" in daemon.log()
    daemon.stop()
    for run in ("a", "a-2", "a-3"):
        assert shown(daemon.logdir, run).steps("loss") == list(range(10))


def test_the_ranks_of_a_second_launch_find_each_other(daemon):
    for launch, name in enumerate(("a", "a-2")):
        with ranks(daemon, 1, 1, run="a", EMBMON_RUN=f"launch-{launch}") as trainers:
            assert [trainer.run() for trainer in trainers] == [name] * 2
            for trainer in trainers:
                trainer.steps(0, 4)
            for trainer in trainers:
                trainer.end()
    for run in ("a", "a-2"):
        assert counts_by_step(daemon.recorded(run)) == {step: 2 * ELEMENTS for step in range(5)}
    assert sorted(path.name for path in daemon.logdir.iterdir()) == ["a", "a-2"]


def test_two_launches_at_once_are_kept_apart_by_their_keys(daemon):
    with ranks(daemon, 1, 1, run="a", EMBMON_RUN="one") as first, \
            ranks(daemon, 3, 3, run="a", EMBMON_RUN="two") as second:
        assert [trainer.run() for trainer in (*first, *second)] == ["a", "a", "a-2", "a-2"]
        for trainer in (*first, *second):
            trainer.steps(0, 4)
        for trainer in (*first, *second):
            assert trainer.end()["rejected"] == 0
    daemon.stop()
    for run, norm in (("a", NORM), ("a-2", 3 * NORM)):
        norms = shown(daemon.logdir, run).scalars["gradient_norm/layer_00"]
        assert [value for _, value in norms] == pytest.approx([norm] * 5, rel=1e-5)


def test_a_rank_of_another_world_size_does_not_join(daemon):
    with ranks(daemon, 1, 1, run="a") as _, \
            Load(daemon.address, "--rank", 1, "--world", 3, run="a") as other:
        assert other.run() == "a-2"
