"""embmond is killed 200 times while 2 to 8 ranks post: nothing that was acknowledged is lost, nothing
is there twice."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from test_durable import check, killed_at_random  # noqa: E402
from trainers import Embmond  # noqa: E402


@pytest.mark.parametrize("seed", range(10))
def test_200_kills(seed):
    with Embmond() as daemon:
        counts, steps = killed_at_random(daemon, seed=100 + seed, ranks=2 + seed % 7, kills=20)
        check(daemon, counts, steps)
