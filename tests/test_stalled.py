"""trainer_stalled, as trainers with clients of ours meet it."""

import os
import sys
import time

import pytest

from harness import BUILD, ROOT, wait_for

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402


@pytest.fixture
def trainer(daemon):
    """A client that has posted five steps and may stand still for two seconds."""
    with embmon.Client("slow", address=f"unix:{daemon.socket}") as client:
        client.threshold("trainer_stalled", "*", "seconds", 2)
        client.daemon = daemon
        for step in range(5):
            client.scalar("loss", step, 1.0)
            client.step(step)
            time.sleep(0.02)
        yield client


def changes(daemon):
    return [a["state"] for a in daemon.alerts_file("slow") if a["detector"] == "trainer_stalled"]


def test_one_that_stands_still_is_told_so(trainer):
    alert = wait_for(lambda: trainer.daemon.ask("alerts"), "the alert")[0]
    assert (alert["detector"], alert["state"], alert["severity"], alert["layer"], alert["step"]) == \
        ("trainer_stalled", "firing", "warning", "", 4)
    assert alert["threshold"] == 2 and 2 < alert["value"] < 10
    notice = wait_for(trainer.notices, "the notice")[0]
    assert (notice.detector, notice.state) == ("trainer_stalled", "firing")
    trainer.scalar("loss", 5, 1.0)
    trainer.step(5)
    wait_for(lambda: changes(trainer.daemon) == ["firing", "resolved"], "its end")


def test_one_that_validates_may_take_its_time(trainer):
    trainer.phase("validation")
    time.sleep(5)  # nothing is posted: its heartbeats alone say it
    assert changes(trainer.daemon) == []


def test_one_that_has_closed_is_not_stalled(trainer):
    trainer.close()
    time.sleep(4)
    assert changes(trainer.daemon) == []
