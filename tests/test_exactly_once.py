"""The short form of tests/faults/test_kill9.py: five kills beside the reference alone."""

import random
import time

from exactly_once import Books, Rank
from trainers import Embmond, shown, until

RANKS, STEPS, KILLS = 2, 120, 5


def post(ranks, step, dice):
    for rank in ranks:
        rank.step(step, {layer: [dice.uniform(-1, 1) for _ in range(dice.randrange(1, 30))]
                         for layer in Rank.LAYERS})


def connected(ranks):
    for rank in ranks:
        rank.pump()
    return all(rank.welcomed for rank in ranks)


def test_five_kills_and_every_post_is_recorded_once():
    dice, books, lost = random.Random(3), Books(), 0
    with Embmond() as daemon:
        ranks = [Rank(books, daemon.socket, rank, RANKS) for rank in range(RANKS)]
        for step in range(STEPS):
            post(ranks, step, dice)
            until(lambda: connected(ranks), "Welcome")
            if step % (STEPS // KILLS) == STEPS // KILLS - 1:
                time.sleep(dice.uniform(0, 0.3))
                daemon.kill()
                lost += sum(len(rank.waiting) for rank in ranks)
                daemon.start()
        until(lambda: all([rank.pump(hurry=True) for rank in ranks]), "the answers")
        assert lost > 0, "nothing was under way when it was killed"
        assert [rank.lost_nacks for rank in ranks] == [0] * RANKS
        for rank in ranks:
            rank.close(bye=True)
        daemon.stop()
        books.check(shown(daemon.logdir))
