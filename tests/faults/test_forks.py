"""500 forks of a trainer that posts, without a hang."""

import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from test_python_workers import TORCH, train_with_workers  # noqa: E402
from trainers import BUILD, NOBODY, Embmond, conserve, environment  # noqa: E402

FORKS = 500


def forks(address, *arguments):
    """Status 0: each child was inert and ended well, posting from several threads went on."""
    done = subprocess.run([BUILD / "tools" / "forks", str(FORKS), *arguments],
                          env=environment(address), capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stderr
    return conserve(json.loads(done.stdout.splitlines()[-1]))


def test_children_of_a_trainer_disturb_nobody():
    with Embmond() as daemon:
        counts = forks(daemon.address)
        (status,) = daemon.ask("status")
        (run,) = [run for run in daemon.ask("runs") if run["name"] == "forks"]
        children = [run for run in daemon.ask("runs") if run["name"].startswith("child")]
    assert counts["in_flight"] == counts["rejected"] == 0
    assert counts["reconnects"] == 0  # no child has closed or used the parent's connection
    # Each post of the parent's was taken once, and those of the children's own clients.
    assert len(children) > FORKS / 10
    assert status["acked"] == counts["acked"] + 6 * len(range(4, FORKS, 6))
    assert status["dropped"] == run["dropped"] == counts["dropped"]


@pytest.mark.parametrize("flood", [(), ("flood",)], ids=["keeps_up", "flood"])
def test_children_of_a_trainer_without_a_daemon(flood):
    counts = forks(NOBODY, *flood)
    assert counts["acked"] == 0
    assert not flood or counts["dropped"] > 0


@pytest.mark.timeout(300)
def test_workers_of_a_data_loader_that_are_spawned(tmp_path):
    recorded = train_with_workers(TORCH, "spawn", tmp_path)
    assert [sample.step for sample in recorded.samples("0/weight")] == list(range(8))
