"""Under `embmond -- COMMAND` an alert is said once where log and trainer share one standard error."""

import os
import subprocess
import sys

import pytest

from harness import BUILD, EMBMOND, ROOT, Daemon

TRAINER = """
import os, sys, time
import numpy as np
from embmon import Client
from embmon._monitor import Monitor
told = []
monitor = Monitor(Client(address=os.environ.get("OTHER")), on_alert=told.append, stop_on=("critical",))
monitor.start()
table = monitor.declare_layer("table", "embedding", rows=10, columns=2)
while not monitor.connected:
    time.sleep(0.01)
wants = monitor.begin("training")
monitor.post_ids(table, wants.step, np.array([3, 10]), None, 0)
monitor.explain(20)
monitor.finish()
monitor.say_summary()
print(len(told), told[0].summary)
monitor.close()
"""
SAID = "id 10 reached table (10 rows) at step 0"


def times_said(err):
    """That it fires; when the run ends the log also says that it is over."""
    return sum(SAID in line and "resolved" not in line for line in err.splitlines())


def run(tmp_path, *options, command=(), **environment):
    """(stdout, stderr) of a trainer with a critical alert; command: what runs Python."""
    done = subprocess.run(
        [EMBMOND, "-l", tmp_path / "runs", *options, "--", *command, sys.executable, "-c", TRAINER],
        text=True, capture_output=True, timeout=60, check=False,
        env=os.environ | {"EMBMON_LIBRARY": str(BUILD / "libembmon.so"),
                          "PYTHONPATH": str(ROOT / "client" / "python")} | environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"1 {SAID}")  # on_alert is called all the same
    return done.stdout, done.stderr


@pytest.mark.parametrize("options", [(), ("-q",), ("--log-format", "json")])
def test_an_alert_is_said_once_on_one_standard_error(tmp_path, options):
    _, err = run(tmp_path, *options)
    assert times_said(err) == 1
    if "json" not in options:  # there the object that it is over has the hint, too
        assert err.count("To confirm, compare the largest id") == 1
    assert "embmon: training stops: critical firing ids_out_of_range table step 0\n" in err
    lines = err.splitlines()
    (summary,) = [n for n, line in enumerate(lines) if "1 training steps, 1 layers, 1 alert" in line]
    assert not lines[summary + 1:] or not lines[summary + 1].startswith("  ")
    assert "embmond:     critical ids_out_of_range in table: first at step 0" in err


def test_a_trainer_whose_errors_go_elsewhere_says_it_there(tmp_path):
    apart = tmp_path / "stderr"
    _, err = run(tmp_path, command=("sh", "-c", f'exec "$@" 2>{apart}', "sh"))
    assert times_said(err) == 1
    # That it stops, why, and at the end.
    assert times_said(apart.read_text()) == 3


def test_a_log_without_alerts_leaves_them_to_the_trainer(tmp_path):
    config = tmp_path / "embmond.yaml"
    config.write_text("log:\n  level: error\n")
    _, err = run(tmp_path, "-c", config)
    assert times_said(err) == 3 and "embmond: warning" not in err


def test_the_alerts_of_another_embmond_are_said(tmp_path):
    with Daemon() as other:
        _, err = run(tmp_path, OTHER=f"unix:{other.socket}")
    assert times_said(err) == 3


def test_an_embmond_within_another_says_what_its_own_command_is_to_know(tmp_path):
    config = tmp_path / "embmond.yaml"
    config.write_text("log:\n  level: error\n")
    _, err = run(tmp_path, command=(EMBMOND, "-c", config, "-l", tmp_path / "inner", "--"))
    assert times_said(err) == 3
