"""embmond is killed while a launch comes together: between its first rank and its second, whoever of
them finds the next embmond first, and at each of its calls until the first one is welcomed. It stays
one run, and none is left empty."""

import itertools
import os
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from exactly_once import Books, Rank  # noqa: E402
from harness import BUILD, proto  # noqa: E402
from trainers import Embmond, until  # noqa: E402

CALLS = ("write", "openat", "mkdirat", "renameat", "unlinkat")
LAST = 30
STEPS = 12


class Mortal(Embmond):
    """One that dies at its nth call of a kind, maybe before it answers; start() makes another."""

    def __init__(self, call, number):
        super().__init__()
        self.logdir.mkdir()
        self.harmed = ["/usr/bin/env", f"LD_PRELOAD={BUILD / 'faults' / 'shim.so'}",
                       "SHIM_ONLY=embmond", f"SHIM_FAULT={call}:{number}:KILL", *self.arguments]
        self.unharmed, self.arguments = self.arguments, self.harmed

    def answers(self):
        return not self.alive() or super().answers()


def post(ranks, steps):
    for step in steps:
        for rank in ranks:
            rank.step(step, {layer: [0.5, -0.25] for layer in Rank.LAYERS})


def welcome(rank):
    until(lambda: (rank.pump(), rank.welcomed)[1], "Welcome")


def settle(ranks):
    until(lambda: all([rank.pump(hurry=True) for rank in ranks]), "the answers")


def runs(daemon):
    return sorted(path.parent.name for path in daemon.logdir.glob("*/embmon"))


def check(daemon, ranks, books):
    """All of them end in one run, which has what they posted once."""
    settle(ranks)
    assert {rank.hello["given"] for rank in ranks} == {"load"}
    assert [rank.lost_nacks for rank in ranks] == [0] * len(ranks)
    for rank in ranks:
        rank.close(bye=True)
    books.check(daemon.recorded())
    assert runs(daemon) == ["load"]


def launch(books, daemon, world, **hello):
    ranks = [Rank(books, daemon.socket, rank, world) for rank in range(world)]
    for rank in ranks:
        rank.hello.update(hello)
    return ranks


@pytest.mark.parametrize("posts_before", [False, True])
@pytest.mark.parametrize("key", ["", "launch-1"])
@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_killed_between_the_first_rank_and_the_others(order, key, posts_before):
    """The first rank is welcomed, embmond is killed; then they come in any order."""
    books = Books()
    with Embmond() as daemon:
        ranks = launch(books, daemon, 3, key=key)
        welcome(ranks[0])
        if posts_before:
            post(ranks[:1], range(3))
            until(lambda: ranks[0].pump(hurry=True), "the answers")
        daemon.kill()
        daemon.start()
        for index in order:
            rank = ranks[index]
            rank.close()
            welcome(rank)
        if posts_before:
            post(ranks[1:], range(3))
        post(ranks, range(3 if posts_before else 0, STEPS))
        check(daemon, ranks, books)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_killed_again_and_again(order):
    """Each rank is welcomed by an embmond of its own, which is killed."""
    books = Books()
    with Embmond() as daemon:
        ranks = launch(books, daemon, 2)
        for index in (*order, *order):
            rank = ranks[index]
            welcome(rank)
            daemon.kill()
            daemon.start()
            for each in ranks:
                each.close()
        for rank in ranks:
            welcome(rank)
        post(ranks, range(STEPS))
        check(daemon, ranks, books)


def test_another_launch_is_another_run():
    """The same name again, while the first one's trainers may still come back."""
    books, others = Books(), Books()
    with Embmond() as daemon:
        first = launch(books, daemon, 2, key="launch-1")
        welcome(first[0])
        daemon.kill()
        daemon.start()
        second = launch(others, daemon, 2, key="launch-2")
        for rank in (second[1], first[1], second[0], first[0]):
            rank.close()
            welcome(rank)
        assert [rank.hello["given"] for rank in (*first, *second)] == ["load"] * 2 + ["load-2"] * 2
        assert runs(daemon) == ["load", "load-2"]
        for rank in (*first, *second):
            rank.close()


@pytest.mark.parametrize("call", CALLS)
def test_killed_before_the_first_rank_is_welcomed(call):
    """At the nth call: what it had begun goes on, under the same name, and nothing is left empty."""
    killed = 0
    for number in range(1, LAST + 1):
        books, daemon = Books(), Mortal(call, number)
        try:
            daemon.start()
            rank = launch(books, daemon, 1)[0]
            end = time.monotonic() + 10
            while daemon.alive() and not rank.welcomed:
                assert time.monotonic() < end
                rank.pump()
                time.sleep(0.001)
            if daemon.alive():  # its nth call comes later
                rank.close()
                break
            killed += 1
            daemon.wait()
            daemon.arguments = daemon.unharmed
            daemon.start()
            post([rank], range(STEPS))
            check(daemon, [rank], books)
        finally:
            daemon.discard()
    assert killed > 0


def test_who_is_refused_leaves_no_file():
    """It gives the run's name, and has another world size than the run was kept with."""
    with Embmond() as daemon:
        with daemon.trainer("load") as trainer:
            trainer.step(0)
            trainer.settle()
            daemon.kill()
        before = daemon.event_files("load")
        for _ in range(3):
            daemon.start()
            with daemon.peer() as peer:
                peer.send(proto.Hello(protocol_min=1, protocol_max=1, session=os.urandom(16),
                                      name="load", given="load", rank=1, world_size=2))
                assert "another world size" in peer.receive_until("Nack").detail
            daemon.kill()
        assert daemon.event_files("load") == before
