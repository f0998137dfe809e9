"""embmonctl, as people and as scripts use it."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import EMBMONCTL, wait_for


def run(*arguments, env=None):
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("XDG_RUNTIME_DIR", "EMBMON_ADDRESS")} | (env or {})
    return subprocess.run([str(EMBMONCTL), *arguments], capture_output=True, text=True, timeout=20,
                          env=environment, check=False)


@pytest.fixture
def busy(daemon):
    """One run of ten steps, its table's gradient not finite at step 8."""
    trainer = daemon.trainer("reviews")
    for step in range(10):
        trainer.step(step, values=[float("nan")] if step == 8 else [0.5, 0.25])
    trainer.settle()
    wait_for(lambda: daemon.ask("alerts"), "the alert")
    wait_for(lambda: daemon.ask("runs")[0]["step"] == 9, "the last step")
    yield daemon
    trainer.close()


def test_status_is_one_object(busy):
    status = busy.status()
    assert status["pid"] == busy.process.pid
    assert status["address"] == f"unix:{busy.socket}"
    assert status["logdir"] == str(busy.logdir)
    assert 0 <= status["uptime"] < 60
    assert (status["runs"], status["sessions"]) == (1, 1)
    assert (status["acked"], status["rejected"], status["dropped"]) == (40, 0, 0)
    version = run("--version").stdout.split()[1]
    assert status["version"] == version


def test_runs_are_one_object_each(busy):
    other = busy.trainer("other")
    runs = busy.ask("runs")
    assert [r["name"] for r in runs] == ["reviews", "other"]
    assert {k: runs[0][k] for k in ("live", "step", "ranks", "layers")} == \
        {"live": True, "step": 9, "ranks": 1, "layers": 2}
    assert (runs[1]["step"], runs[1]["firing"]) == (None, 0)
    other.bye()
    wait_for(lambda: not busy.ask("runs")[1]["live"], "it to be gone")


def test_layers_come_in_the_order_they_were_declared(busy):
    layers = busy.ask("layers", "reviews")
    assert [(x["layer"], x["kind"], x["trainable"]) for x in layers] == \
        [("tower/embedding", "embedding", True), ("tower/dense", "dense", True)]
    assert layers[0]["gradient_norm"] == pytest.approx((0.5**2 + 0.25**2) ** 0.5)
    assert layers[0]["state"] in ("pending", "firing")
    assert layers[1]["state"] == "ok"
    assert isinstance(layers[0]["silent"], dict)
    assert layers == busy.ask("layers")  # the only run need not be named


def test_alerts_are_the_newest_object_of_each(busy):
    alerts = busy.ask("alerts")
    assert [(a["run"], a["layer"], a["detector"], a["first_step"], a["fired"],
             a["fired_severity"]) for a in alerts] == \
        [("reviews", "tower/embedding", "gradient_nonfinite", 8, True, "critical")]
    assert alerts[0]["hint"]
    assert busy.ask("alerts", "reviews") == alerts
    written = busy.alerts_file("reviews")[-1]
    assert {k: v for k, v in alerts[0].items() if not k.startswith("fired")} == written


def test_fail_on_is_about_what_ever_fired(busy):
    assert busy.ctl("alerts", "--fail-on", "critical").returncode == 1
    assert busy.ctl("alerts", "--fail-on", "info", "--json").returncode == 1
    assert busy.ctl("alerts", "--fail-on=warning", "--firing", "reviews").returncode == 1
    busy.trainer("quiet")
    assert busy.ctl("alerts", "--fail-on", "info", "quiet").returncode == 0


def test_people_get_columns(busy):
    out = busy.ctl("runs").stdout.splitlines()
    assert out[0].split() == ["RUN", "LIVE", "STEP", "RANKS", "EVERY", "LAYERS", "FIRING"]
    assert out[1].split()[:3] == ["reviews", "yes", "9"]
    assert "tower/embedding" in busy.ctl("layers").stdout
    assert "gradient_nonfinite" in busy.ctl("alerts").stdout
    assert f"pid             {busy.process.pid}\n" in busy.ctl("status").stdout


def test_layers_fit_on_eighty_columns_and_long_says_who_is_silent(busy):
    silent = busy.ask("layers")[0]["silent"]
    short = busy.ctl("layers", "reviews").stdout.splitlines()
    assert all(len(line) <= 80 for line in short)
    assert short[1].split()[-1] == str(len(silent)) != "0"
    assert short[-1] == \
        "SILENT: how many detectors cannot tell; --long says which, and why"
    long = busy.ctl("layers", "--long", "reviews").stdout
    assert all(len(line) <= 80 for line in long.splitlines())
    assert long.startswith("\n".join(short[:-1]))
    told = " ".join(long.split("tower/embedding\n")[1].split("tower/dense")[0].split())
    for detector, reason in silent.items():
        assert re.search(f"{re.escape(reason)}: ([a-z_]+, )*{detector}( |,|$)", told)


def test_alerts_say_the_phase(busy):
    trainer = busy.trainer("phases")
    trainer.send(trainer.sample(0, [float("nan")], signal=2, phase=2), trainer.step_end(0, phase=2))
    wait_for(lambda: busy.ask("alerts", "phases"), "the alert")
    heading, row = busy.ctl("alerts", "phases").stdout.splitlines()[:2]
    column = heading.split().index("PHASE")
    assert row.split()[column] == "validation"
    assert busy.ctl("alerts", "reviews").stdout.splitlines()[1].split()[column] == "training"


def test_nothing_loaded_is_said(daemon):
    assert daemon.ctl("runs").stdout == "no runs\n"
    assert daemon.ctl("runs", "--json").stdout == ""
    assert daemon.ctl("alerts", "--fail-on", "info").returncode == 0
    done = daemon.ctl("layers")
    assert (done.returncode, done.stderr) == (64, "embmonctl: no run is loaded\n")


def test_an_unknown_run_is_64(busy):
    for command in ("layers", "alerts"):
        done = busy.ctl(command, "nope")
        assert done.returncode == 64
        assert done.stderr == "embmonctl: no run nope is loaded: the loaded runs are: reviews\n"
        assert done.stdout == ""


@pytest.mark.parametrize("arguments,word", [
    ([], "a command is missing"), (["look"], "unknown command look"),
    (["status", "x"], "unexpected argument x"), (["layers", "a", "b"], "unexpected argument b"),
    (["--nope"], "unknown option --nope"), (["alerts", "--fail-on", "bad"], "bad"),
    (["alerts", "--fail-on"], "--fail-on needs a value"), (["runs", "--firing"], "go with alerts"),
    (["alerts", "--long"], "--long goes with layers"),
    (["watch", "--fail-on", "info"], "go with alerts"), (["watch", "a", "b"], "unexpected argument b"),
    (["--json=1", "runs"], "takes no value"), (["--address", "x:1", "runs"], "unix:PATH"),
    (["--address", "tcp:x", "runs"], "tcp:HOST:PORT"), (["--address", "tcp:x:0", "runs"], "1 to 65535"),
    (["--address", "tcp:x:1", "--token-file", "/none", "runs"], "the token file /none: there is no")])
def test_wrong_usage_is_64_and_one_line(arguments, word):
    done = run(*arguments)
    assert done.returncode == 64
    assert done.stdout == ""
    assert word in done.stderr and done.stderr.count("\n") == 1


def test_help_and_version_are_on_stdout():
    assert "--fail-on SEVERITY" in run("--help").stdout
    assert run("-h").returncode == run("--version").returncode == 0


def test_no_daemon_is_69_and_one_line(tmp_path):
    for env in ({}, {"EMBMON_ADDRESS": "unix:/no/such/socket"}):
        done = run("status", env={"HOME": str(tmp_path)} | env)
        assert done.returncode == 69
        assert "no embmond at" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["status", "watch"])
def test_every_default_address_that_was_tried_is_named(tmp_path, command):
    done = run(command, env={"HOME": str(tmp_path), "XDG_RUNTIME_DIR": f"{tmp_path}/run"})
    assert (done.returncode, done.stdout) == (69, "")
    tried = (f"unix:{tmp_path}/run/embmond.sock, unix:/run/user/{os.geteuid()}/embmond.sock or "
             f"unix:{tmp_path}/.embmond/{socket.gethostname()}.sock")
    assert done.stderr == (f"embmonctl: no embmond at {tried}: No such file or directory; start one, "
                           "or say with --address or EMBMON_ADDRESS where it is\n")


def test_the_address_comes_from_the_option_then_the_environment_then_the_default(daemons):
    daemon = daemons()
    default = daemons(listen=False, env={"XDG_RUNTIME_DIR": str(daemon.folder)})
    environment = {"EMBMON_ADDRESS": f"unix:{daemon.socket}",
                   "XDG_RUNTIME_DIR": str(daemon.folder)}

    def pid(*arguments, **env):
        return json.loads(run("status", "--json", *arguments, env=env).stdout)["pid"]

    assert pid(**environment) == daemon.process.pid
    assert pid(XDG_RUNTIME_DIR=str(daemon.folder)) == default.process.pid
    assert pid("--address", f"unix:{daemon.folder}/embmond.sock", **environment) == \
        default.process.pid


def test_a_stopped_daemon_does_not_hang_it(daemon):
    daemon.signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        done = daemon.ctl("status")
        assert done.returncode == 69
        assert "no answer within 2 s" in done.stderr
        assert time.monotonic() - started < 5
    finally:
        daemon.signal(signal.SIGCONT)
