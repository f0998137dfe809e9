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


KEYS = ("produced", "acked", "rejected", "dropped", "in_flight")


def conserved(counts):
    """Of what embmonctl says: the counts, which must add up."""
    counts = {key: counts[key] for key in KEYS}
    assert counts["produced"] == sum(counts[key] for key in KEYS[1:]), counts
    return counts


def both(daemon, run="load"):
    """Of the run and of all, at one moment after another."""
    return conserved(daemon.run(run)), conserved(daemon.status())


def agrees(daemon, counts):
    """embmond and the trainer say the same of its posts: once it is settled, and has said so."""
    expected = {key: counts[key] for key in KEYS}
    wait_for(lambda: both(daemon) == (expected, expected), f"{expected}, not {both(daemon)}")


def test_what_is_produced_is_acked_rejected_dropped_or_in_flight_at_every_moment():
    with Embmond() as daemon, Load(daemon.address) as trainer:
        trainer.run()
        for step in range(0, 200, 10):
            trainer.steps(step, step + 9)
            both(daemon)
        agrees(daemon, trainer.settle())
        text = daemon.ctl("status").stdout.split()
        assert text[text.index("produced") + 1] == "800"
        assert text[text.index("in_flight") + 1] == "0"


def test_who_is_given_up_without_goodbye_has_lost_what_was_in_flight():
    """In the run, and in the totals that outlive it."""
    with Daemon("-q") as daemon:
        with daemon.trainer() as trainer:
            trainer.step(0, 1)
            trainer.send(proto.Heartbeat(produced=17, dropped=2, unsent=7))
            trainer.settle()
            trainer.send(proto.Heartbeat(produced=17, dropped=2, unsent=7))
            wait_for(lambda: daemon.status()["in_flight"] == 7, "the heartbeat")
        before = dict(produced=17, acked=8, rejected=0, dropped=2, in_flight=7)
        assert conserved(daemon.status()) == before
        after = before | dict(dropped=9, in_flight=0)
        wait_for(lambda: conserved(daemon.status()) == after, "its end", timeout=90)
        assert conserved(daemon.ask("runs")[0]) == after


def test_posts_are_conserved_over_kill_9():
    """The new embmond has the run's counts, and begins its totals anew."""
    with Embmond() as daemon, Load(daemon.address) as trainer:
        trainer.run()
        trainer.steps(0, 99)
        trainer.settle()
        daemon.kill()
        trainer.steps(100, 149)
        daemon.start()
        counts = trainer.settle()
        assert counts["acked"] == 600
        wait_for(lambda: conserved(daemon.run("load"))["acked"] == 600, "the posts")
        assert conserved(daemon.run("load")) == {key: counts[key] for key in KEYS}
        assert conserved(daemon.status()) == dict(produced=200, acked=200, rejected=0, dropped=0,
                                                  in_flight=0)
