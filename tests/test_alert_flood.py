"""A hundred thousand changes of alerts, of more layers than alerts are kept: the daemon stays small, its
log short, the trainer connected; and what fires, what ever fired and how severe it was stays known, also
over a kill."""
import os
import re
import signal
import sys
import time

import numpy
import pytest

from harness import BUILD, ROOT, SANITIZED, wait_for

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402

KEPT = 64
TABLES = 200 if SANITIZED else 2000
ROUNDS = 3 if SANITIZED else 25  # of 2 changes of each table
CALM = 11  # steps until what was up is over
IN_FLIGHT = 50_000  # posts that wait for their acknowledgement, far below the client's queue

GOOD, BAD = numpy.arange(2, dtype=numpy.int32), numpy.array([1, -1], numpy.int32)


class Flood:
    """Tables into all of which an id that is no row goes at one step and not at the next ones, again and
    again: each time every one of them fires, critical, and is over."""

    def __init__(self, daemon, name, tables=TABLES):
        self.client = embmon.Client(run=name, address=f"unix:{daemon.socket}", log=lambda line: None)
        self.tables = [self.client.layer(f"table{i}", "embedding", rows=2, columns=2)
                       for i in range(tables)]
        self.step = 0
        self.full = 0  # posts that the client's inbox had no room for, which came again

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def post(self, ids):
        for table in self.tables:
            while not self.client.post_ids(table, self.step, ids):
                self.full += 1
                time.sleep(0.01)
        self.client.step(self.step)
        self.step += 1
        wait_for(lambda: self.client.stats().in_flight <= IN_FLIGHT, "acknowledgements", 60)

    def calm_down(self):
        for _ in range(CALM):
            self.post(GOOD)

    def settle(self):
        wait_for(lambda: self.client.stats().in_flight == 0, "all to be acknowledged", 60)


def resident_kib(daemon):
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


@pytest.fixture
def configured(daemons, tmp_path):
    def make(*options, **named):
        path = tmp_path / "embmond.yaml"
        path.write_text(f"limits: {{alerts: {KEPT}}}\n")
        return daemons("-c", path, *options, **named)
    return make


def firing(daemon):
    return daemon.ask("runs")[0]["firing"]


def known(daemon, *options):
    """Of how many alerts embmonctl speaks, and in how many objects."""
    alerts = daemon.ask("alerts", *options, "flood")
    return sum(alert.get("count", 1) for alert in alerts), len(alerts)


def fails_on(daemon, severity):
    return daemon.ctl("alerts", "--fail-on", severity, "flood").returncode


def left_out(daemon):
    """Changes that the log counts, and the lines that do."""
    lines = daemon.lines("changes of alerts left out here: ")
    return sum(int(re.search(r"here: (\d+) in", line)[1]) for line in lines), len(lines)


def test_a_hundred_thousand_changes(configured):
    daemon = configured()
    with Flood(daemon, "flood") as flood:
        flood.post(BAD)
        flood.calm_down()
        flood.settle()
        before, began = resident_kib(daemon), time.monotonic()
        for _ in range(ROUNDS - 1):
            flood.post(BAD)
            flood.calm_down()
        flood.post(BAD)  # and now all of them fire
        flood.settle()
        grown = resident_kib(daemon) - before
        stats = flood.client.stats()
        assert (stats.rejected, stats.dropped, stats.reconnects) == (0, flood.full, 0)
        assert stats.acked + stats.dropped == stats.produced
        # By flapping; that what is not kept takes no memory is in test_keep.c.
        assert SANITIZED or grown < 3 * 1024, f"{grown} KiB"
        assert firing(daemon) == TABLES
        assert known(daemon) == known(daemon, "--firing") == (TABLES, KEPT + 1)
        assert fails_on(daemon, "critical") == 1
        limit = daemon.status()["limits"]["alerts"]
        assert (limit["used"], limit["limit"]) == (KEPT, KEPT)
        assert limit["refused"] >= ROUNDS * (TABLES - KEPT)
        flood.calm_down()
        flood.settle()
        assert firing(daemon) == 0 and known(daemon) == (TABLES, KEPT + 1)
        assert known(daemon, "--firing") == (0, 0) and fails_on(daemon, "critical") == 1
        minutes = (time.monotonic() - began) / 60 + 2
    assert daemon.stop() == 0
    changes = len(daemon.alerts_file("flood"))
    assert changes == 2 * (ROUNDS + 1) * TABLES
    said = len(daemon.lines(": ids_out_of_range table"))
    assert said <= (60 + 1) * minutes
    counted, lines = left_out(daemon)
    assert said + counted == changes and lines <= minutes + 1


def test_a_kill_in_the_middle(configured):
    daemon = configured()
    with Flood(daemon, "flood") as flood:
        flood.post(BAD)
        flood.calm_down()
        flood.post(BAD)
        flood.settle()
        before = daemon.ask("alerts", "flood")
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        daemon.start()
        wait_for(lambda: daemon.ask("runs") and daemon.ask("runs")[0]["live"], "the trainer")
        assert firing(daemon) == TABLES and daemon.ask("alerts", "flood") == before
        assert known(daemon) == (TABLES, KEPT + 1) and fails_on(daemon, "critical") == 1
        flood.calm_down()
        flood.settle()
        assert firing(daemon) == 0 and known(daemon) == (TABLES, KEPT + 1)
    assert daemon.stop() == 0
    changes = daemon.alerts_file("flood")
    states = {}
    for change in changes:
        states.setdefault(change["layer"], []).append(change["state"])
    assert len(states) == TABLES and set(map(tuple, states.values())) == {("firing", "resolved") * 2}


@pytest.mark.parametrize("tables", [KEPT - 1, KEPT, KEPT + 1])
def test_at_the_limit(configured, tables):
    daemon = configured()
    with Flood(daemon, "flood", tables) as flood:
        flood.post(BAD)
        flood.settle()
        assert firing(daemon) == tables and known(daemon)[0] == tables
        assert [a["count"] for a in daemon.ask("alerts", "flood") if "count" in a] == (
            [1] if tables > KEPT else [])
        limits = daemon.status()["limits"]
        assert limits["alerts"] == {
            "used": min(tables, KEPT), "limit": KEPT, "refused": max(0, tables - KEPT)}
        assert limits["all_alerts"] == {"used": min(tables, KEPT), "limit": 8192, "refused": 0}


def test_the_end_of_a_command(configured, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(f"""
import sys
sys.path[:0] = {[str(ROOT / "client" / "python")]!r}
import embmon, numpy
with embmon.Client() as client:
    for i in range(100):
        client.post_ids(client.layer(f"table{{i}}", "embedding", rows=2, columns=2), 0,
                        numpy.array([1, -1], numpy.int32))
    client.scalar("loss", 0, float("nan"))
    client.step(0)
    sys.exit(7)
""")
    daemon = configured(command=[sys.executable, script])
    assert daemon.wait(60) == 7  # the command's
    report = daemon.log().split(" 1 steps:\n")[1].splitlines()
    assert len(report) == 51 and all(" critical " in line for line in report[:50])
    assert re.fullmatch(r"embmond:     and 51 more, 51 critical: see .*/embmon/alerts\.jsonl", report[50])
