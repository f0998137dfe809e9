"""What a trainer has lost is counted in TensorBoard, also when no step follows that could say it."""

import readers
from harness import Daemon, proto, wait_for
from trainers import Load, Embmond


def shown(daemon, run="run"):
    """embmond/dropped as both readers show it once embmond has ended."""
    assert daemon.stop() == 0
    return readers.both(daemon.logdir)[f"{run}/embmon"].scalars["embmond/dropped"]


def test_posts_that_die_with_their_trainer_are_counted():
    with Daemon() as daemon:
        with daemon.trainer() as trainer:
            trainer.step(0, 1)
            trainer.send(proto.Heartbeat(produced=15, dropped=0, unsent=7))
            trainer.settle()
            assert daemon.ask("runs")[0]["dropped"] == 0  # they may come yet
            trainer.send(proto.Heartbeat(produced=15, dropped=0, unsent=7))
        wait_for(lambda: not daemon.ask("runs")[0]["live"], "the connection's end")
        assert shown(daemon) == [(0, 0), (1, 0), (2, 7)]
        assert len(daemon.lines("posts that were in its memory: 7 behind number 8")) == 1


def test_posts_that_are_dropped_behind_the_last_step_are_counted():
    with Daemon() as daemon:
        with daemon.trainer() as trainer:
            trainer.step(0, 1)
            trainer.send(proto.Heartbeat(produced=10, dropped=2))
            trainer.settle()
            trainer.bye()
        assert shown(daemon) == [(0, 0), (1, 0), (2, 2)]


def test_they_are_not_lost_when_the_trainer_comes_back():
    with Daemon() as daemon:
        with daemon.trainer() as trainer:
            trainer.step(0, 1)
            trainer.send(proto.Heartbeat(unsent=4))
            trainer.settle()
            trainer.send(proto.Heartbeat(unsent=4))
        wait_for(lambda: not daemon.ask("runs")[0]["live"], "the connection's end")
        with daemon.trainer(session=trainer.session, given="run") as again:
            assert again.welcome.sequence == 8
            again.sequence = 8
            again.step(2)
            again.settle()
            again.bye()
        assert shown(daemon) == [(0, 0), (1, 0), (2, 0)]
        assert not daemon.lines("in its memory")


def test_a_trainer_that_ends_well_has_lost_nothing():
    with Embmond() as daemon:
        with Load(daemon.address, "--layers", 3) as trainer:
            trainer.run()
            trainer.steps(0, 199)
            assert trainer.end()["dropped"] == 0
        assert {value for _, value in shown(daemon, "load")} == {0}
