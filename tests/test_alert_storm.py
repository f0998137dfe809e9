"""A step at which thousands of alerts change costs a trainer nothing but the advice it cannot read."""
import os
import sys

import numpy

from harness import BUILD, ROOT

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402

TABLES, STEPS = 2000, 25


def test_a_storm_of_alerts_loses_no_post_and_no_connection(daemon):
    lines = []
    ids, zeros = numpy.arange(2), numpy.zeros((2, 2), numpy.float32)
    with embmon.Client(run="storm", address=f"unix:{daemon.socket}", log=lines.append) as client:
        tables = [client.layer(f"table{i}", "embedding", rows=2, columns=2) for i in range(TABLES)]
        for step in range(STEPS):
            for table in tables:
                client.post_rows(table, "gradient", step, ids, zeros)
            client.step(step)
            while client.stats().in_flight > TABLES:
                pass
        while client.stats().in_flight:
            pass
        stats = client.stats()
        assert (stats.produced, stats.acked) == ((TABLES + 1) * STEPS,) * 2
        assert stats.reconnects == 0 and not lines
        assert any(alert.detector == "gradient_vanishing" for alert in client.notices())
    alerts = daemon.ask("alerts", "storm")
    assert len(alerts) == TABLES and all(alert["fired"] for alert in alerts)
