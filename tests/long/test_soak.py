"""What shows only after a while: memory and descriptors, of the trainer and of embmond."""

import contextlib
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from trainers import NOBODY, Embmond, Load, rss_kib, unharmed  # noqa: E402

MINUTES = 10
SETTLED = 3  # minutes until nothing grows any more
RANKS = 4
STEPS_A_SECOND = 20


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("there", [True, False], ids=["daemon", "no_daemon"])
def test_10000_clients_opened_and_closed_leave_nothing(there):
    options = ("--cycles", 10_000, "--posts", 20, "--close", 5000 if there else 0)
    with Embmond() as daemon:
        found = unharmed(daemon.address if there else NOBODY, *options, timeout=1800)
        print(found)
        assert found["rss_kib"] - found["rss_kib_early"] <= 1024
        assert descriptors(daemon.process.pid) < 20 + 2 * 256 * 2  # runs that are loaded


@pytest.mark.timeout(MINUTES * 60 + 120)
def test_a_training_of_many_steps_makes_nothing_grow():
    """Four ranks of 20 layers and 20 steps a second: nobody's memory grows by a MiB, once settled."""
    seen = []
    with Embmond() as daemon, contextlib.ExitStack() as stack:
        ranks = [stack.enter_context(Load(daemon.address, "--rank", rank, "--world", RANKS,
                                          "--layers", 20)) for rank in range(RANKS)]
        processes = [daemon.process.pid, *(rank.process.pid for rank in ranks)]
        began, step = time.monotonic(), 0
        while time.monotonic() - began < MINUTES * 60:
            for rank in ranks:
                rank.steps(step, step + STEPS_A_SECOND - 1)
            step += STEPS_A_SECOND
            seen.append((time.monotonic() - began, *map(rss_kib, processes),
                         *map(descriptors, processes)))
            time.sleep(max(0, began + step / STEPS_A_SECOND - time.monotonic()))
        counts = [rank.settle() for rank in ranks]
        (status,) = daemon.ask("status")
        for rank in ranks:
            rank.end()
    print(seen[::60], counts)
    assert status["acked"] == RANKS * step * 22 and status["rejected"] == status["dropped"] == 0
    settled = next(line for line in seen if line[0] >= SETTLED * 60)
    for early, late in zip(settled[1:1 + len(processes)], seen[-1][1:1 + len(processes)]):
        assert late - early <= 1024, (settled, seen[-1])
    assert seen[-1][1 + len(processes):] == settled[1 + len(processes):]
