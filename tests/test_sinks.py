"""Sinks over all runs: Debian's own Alertmanager, restarts of the configuration, the end."""
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy
import pytest

import readers
from harness import BUILD, EMBMOND, ROOT, wait_for
from receiver import NAN, Patient, Receiver, program, sinks, webhook

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402


def by_name(daemon):
    return {sink["name"]: sink for sink in daemon.status()["sinks"]}


# ---- Alertmanager


class Alertmanager:
    """Debian's, on ports of the loopback that the system chose; groups by run, tells a receiver."""

    PROGRAM = "/usr/bin/prometheus-alertmanager"

    def __init__(self, folder, receiver):
        self.folder, self.receiver = folder, receiver
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        config = self.folder / "alertmanager.yml"
        config.write_text(json.dumps({
            "global": {"resolve_timeout": "5m"},
            "route": {"receiver": "double", "group_by": ["alertname", "run"], "group_wait": "1s",
                      "group_interval": "1s", "repeat_interval": "1h"},
            "receivers": [{"name": "double", "webhook_configs": [
                {"url": self.receiver.url + "/from-alertmanager", "send_resolved": True}]}]}))
        self.log = open(self.folder / "alertmanager.log", "w+")
        self.process = subprocess.Popen(
            [self.PROGRAM, f"--config.file={config}", f"--storage.path={self.folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        wait_for(self.is_ready, "Alertmanager")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def is_ready(self):
        assert self.process.poll() is None, (self.folder / "alertmanager.log").read_text()
        try:
            with urllib.request.urlopen(self.url + "/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return json.load(answer)

    def alerts(self):
        """Those that are active, as its own page asks for them."""
        return self.get("/api/v2/alerts?active=true&silenced=false&inhibited=false")


@pytest.fixture
def alertmanager(tmp_path):
    with Receiver() as receiver, Alertmanager(tmp_path, receiver) as manager:
        yield manager


def test_alertmanager_shows_groups_and_resolves(daemons, tmp_path, alertmanager):
    daemon = daemons("--config", sinks(tmp_path, webhook(alertmanager.url, resend=1),
                                       tensorboard_url="http://tensorboard.example:6006"))
    first, second = Patient(daemon, "first"), Patient(daemon, "second")
    first.fall_ill()
    second.fall_ill()
    wait_for(lambda: len(alertmanager.alerts()) == 2, "both alerts")
    shown = {alert["labels"]["run"]: alert for alert in alertmanager.alerts()}
    assert set(shown) == {"first", "second"}
    alert, written = shown["first"], daemon.alerts_file("first")[0]
    assert alert["labels"]["alertname"] == "gradient_nonfinite"
    assert alert["annotations"]["summary"] == written["summary"]
    assert alert["generatorURL"].startswith("http://tensorboard.example:6006/?")
    groups = alertmanager.get("/api/v2/alerts/groups")
    assert sorted((group["labels"]["run"], len(group["alerts"])) for group in groups) == \
        [("first", 1), ("second", 1)]
    told = alertmanager.receiver
    told.wait_for(2)
    first.get_well()
    wait_for(lambda: [a["labels"]["run"] for a in alertmanager.alerts()] == ["second"],
             "the first to be resolved")
    # It began when it fired, however often it was sent since.
    assert {a["labels"]["run"]: a["startsAt"] for a in alertmanager.alerts()} == \
        {"second": shown["second"]["startsAt"]}
    wait_for(lambda: ["firing", "firing", "resolved"] ==
             sorted(body["status"] for _, _, body in told.posts), "its receiver to be told")


def test_our_version_4_is_alertmanagers(daemons, tmp_path, alertmanager):
    """The same alert, by way of Alertmanager and from us: every field is there, of the same type
    and, where it is not about who sends it, with the same value."""
    receiver = alertmanager.receiver
    daemon = daemons("--config", sinks(
        tmp_path, webhook(alertmanager.url, name="api"),
        webhook(receiver.url + "/from-embmond", name="double", format="alertmanager-webhook"),
        tensorboard_url="http://tensorboard.example:6006"))
    patient = Patient(daemon)

    def both(status):
        bodies = {path: body for path, _, body in receiver.posts if body["status"] == status}
        return len(bodies) == 2 and (bodies["/from-embmond"], bodies["/from-alertmanager"])

    def compare(ours, theirs):
        assert set(ours) == set(theirs)
        for field in ("receiver", "status", "version", "truncatedAlerts", "groupLabels",
                      "commonLabels", "commonAnnotations", "groupKey"):
            assert ours[field] == theirs[field], field
        assert isinstance(ours["externalURL"], str)
        (ours,), (theirs,) = ours["alerts"], theirs["alerts"]
        assert set(ours) == set(theirs)
        for field in ("status", "labels", "annotations", "generatorURL", "fingerprint"):
            assert ours[field] == theirs[field], field
        moments = [[moment(alert[field]) for field in ("startsAt", "endsAt")]
                   for alert in (ours, theirs)]
        assert moments[0] == moments[1]

    patient.fall_ill()
    compare(*wait_for(lambda: both("firing"), "both to tell of it"))
    patient.get_well()
    compare(*wait_for(lambda: both("resolved"), "both to say that it is over"))


def moment(text):
    """RFC 3339 to the millisecond: they leave trailing zeros out."""
    seconds, _, rest = text.removesuffix("Z").partition(".")
    return seconds, (rest + "000")[:3]


def test_what_fired_to_the_last_stays_for_a_while(daemons, tmp_path, alertmanager):
    """Else nobody would be told of an alert that ended its training within group_wait."""
    daemon = daemons("--config", sinks(tmp_path, webhook(alertmanager.url)))
    patient = Patient(daemon)
    patient.fall_ill()
    patient.leave()
    assert daemon.stop() == 0
    (alert,) = alertmanager.alerts()
    assert alert["annotations"]["reason"] == "closed"
    alertmanager.receiver.wait_for(1)
    assert alertmanager.receiver.posts[0][2]["status"] == "firing"


# ---- all kinds together


def test_each_sink_is_told_what_it_asked_for(daemons, tmp_path):
    with Receiver() as api, Receiver() as hook:
        out = tmp_path / "out"
        daemon = daemons("--config", sinks(
            tmp_path, webhook(api, name="api"),
            webhook(hook, name="hook", format="alertmanager-webhook"),
            program("/bin/sh", "-c", f"cat >>{out}", name="script", severity="critical")))
        patient = Patient(daemon)
        patient.fall_ill()
        patient.get_well()
        wait_for(lambda: all(s["delivered"] == 2 for s in by_name(daemon).values()), "all of it")
        assert ["endsAt" in alert for alert in api.alerts()] == [False, True]
        assert [body["status"] for _, _, body in hook.posts] == ["firing", "resolved"]
        assert [json.loads(x)["state"] for x in out.read_text().splitlines()] == \
            ["firing", "resolved"]
        shown = daemon.ctl("status").stdout
        for line in ("api (webhook)", "hook (webhook)", "script (exec)"):
            assert f"sink            {line}: delivered 2, failed 0, waiting 0, dropped 0, " \
                "held 0\n" in shown


def test_a_storm_is_so_many_messages_a_minute_and_what_waits_is_told_together(daemons, tmp_path):
    runs = [f"run{i}" for i in range(9)]
    with Receiver() as api, Receiver() as hook:
        out = tmp_path / "out"
        daemon = daemons("--config", sinks(
            tmp_path, webhook(api, name="api", per_minute=3),
            webhook(hook, name="hook", format="alertmanager-webhook", per_minute=3),
            program("/bin/sh", "-c", f"echo $EMBMON_WAITING $(cat) >>{out}", name="script",
                    per_minute=3)))
        for count, run in enumerate(runs, 1):
            Patient(daemon, run).fall_ill()
            wait_for(lambda: all((s["delivered"], s["held"]) == (min(count, 3), max(count - 3, 0))
                                 for s in by_name(daemon).values()), "it to be told, or to wait")
        time.sleep(0.5)
        assert [len(r.posts) for r in (api, hook)] == [3, 3]
        assert len(out.read_text().splitlines()) == 3
        assert {s["waiting"] for s in by_name(daemon).values()} == {6}
        for name in ("api", "hook", "script"):
            assert len(daemon.lines(f"sink {name}: it was told as often as its per_minute")) == 1
        assert daemon.stop() == 0  # what waits is told at the end: nothing is lost
        for receiver in (api, hook):
            fired = {a["labels"]["run"] for a in receiver.alerts()}
            assert fired == set(runs)
        assert hook.posts[3][2]["groupKey"] == "{}:{}"
        lines = out.read_text().splitlines()
        told = {json.loads(line[line.index("{"):])["run"] for line in lines}
        assert told == set(runs)


def table_vanishes(client, steps, first=0, norm=0.0):
    """A warning once it has lasted, with an embedding and a layer behind it."""
    ids = numpy.arange(4)
    for step in range(first, first + steps):
        client.post_rows("table", "gradient", step, ids, numpy.full((4, 2), norm, numpy.float32))
        client.post("dense", "gradient", step, numpy.ones(8, numpy.float32))
        client.scalar("loss", step, 0.5)
        client.step(step)
    while client.stats().in_flight:
        pass


def test_neither_pending_nor_what_is_too_mild_is_told(daemons, tmp_path):
    with Receiver() as all_of_it, Receiver() as critical:
        daemon = daemons("--config", sinks(
            tmp_path, webhook(all_of_it, name="all", severity="info"),
            webhook(critical, name="critical", severity="critical")))
        with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
            client.layer("table", "embedding", rows=4, columns=2)
            client.layer("dense", "dense")
            table_vanishes(client, 1)
            table_vanishes(client, 40, 1, norm=1.0)  # it cleared before it fired
            states = [alert["state"] for alert in daemon.alerts_file()]
            assert states == ["pending", "resolved"]
            assert by_name(daemon)["all"]["delivered"] == 0
            table_vanishes(client, 60, 41)
            (alert,) = all_of_it.wait_for(1)
            assert (alert["labels"]["alertname"], alert["labels"]["severity"]) == \
                ("gradient_vanishing", "warning")
        assert daemon.stop() == 0
        assert len(all_of_it.alerts()) == 2 and not critical.posts


# ---- the configuration read again


def hangup(daemon):
    before = len(daemon.lines("SIGHUP"))
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: len(daemon.lines("SIGHUP")) > before, "the configuration to be read again")


def test_hangup_keeps_what_is_the_same_and_greets_what_is_new(daemons, tmp_path):
    with Receiver() as kept, Receiver() as moved, Receiver() as new:
        kept.stop()
        config = sinks(tmp_path, webhook(kept, name="kept"), webhook(moved, name="moved"))
        daemon = daemons("--config", config)
        patient = Patient(daemon)
        patient.fall_ill()
        moved.wait_for(1)
        wait_for(lambda: by_name(daemon)["kept"]["failed"], "an attempt")
        sinks(tmp_path, webhook(kept, name="kept"), webhook(new, name="moved"))
        hangup(daemon)
        (alert,) = new.wait_for(1)  # what fires is news to it
        assert "endsAt" not in alert
        assert by_name(daemon)["kept"]["failed"] > 0
        kept.start()
        kept.wait_for(1)  # it was owed that
        patient.get_well()
        new.wait_for(2)
        kept.wait_for(2)
        assert len(moved.posts) == 1  # it is gone
        assert {name: sink["delivered"] for name, sink in by_name(daemon).items()} == \
            {"kept": 2, "moved": 2}


def test_hangup_with_a_sink_that_cannot_be_keeps_the_old_ones(daemons, tmp_path):
    with Receiver() as receiver:
        config = sinks(tmp_path, webhook(receiver))
        daemon = daemons("--config", config)
        sinks(tmp_path, webhook(receiver), program("/no/such/program", name="broken"))
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: daemon.lines("the old configuration is kept"), "the complaint")
        assert daemon.lines("sink broken: cannot run /no/such/program")
        Patient(daemon).fall_ill()
        receiver.wait_for(1)
        assert list(by_name(daemon)) == ["webhook"]


def test_hangup_during_a_telling_breaks_nothing(daemons, tmp_path):
    with Receiver("hang") as receiver:
        slow = program("/bin/sh", "-c", "sleep 1", name="slow")
        config = sinks(tmp_path, webhook(receiver, name="old"), slow)
        daemon = daemons("--config", config)
        Patient(daemon).fall_ill()
        wait_for(lambda: receiver.tries, "an attempt")
        sinks(tmp_path)
        hangup(daemon)
        assert daemon.status()["sinks"] == []
        time.sleep(1.2)  # the program ends, and nobody asks
        assert daemon.stop() == 0
        assert daemon.lines("sink old: the newest state of 1 alert was not delivered")


# ---- the end

# Posts one step that is sick and is gone.
LAST_WORDS = """
import os, sys
sys.path.insert(0, %r)
from harness import Trainer
trainer = Trainer(os.environ["EMBMON_ADDRESS"].removeprefix("unix:"), os.environ["EMBMON_RUN"])
trainer.step(0, values=[float("nan")])
trainer.settle()
os._exit(7)
""" % str(ROOT / "tests")


def test_the_last_alert_of_a_command_reaches_all(tmp_path):
    with Receiver() as api, Receiver() as hook:
        out = tmp_path / "out"
        config = sinks(tmp_path, webhook(api, name="api"),
                       webhook(hook, name="hook", format="alertmanager-webhook"),
                       program("/bin/sh", "-c", f"cat >>{out}"))
        started = time.monotonic()
        done = subprocess.run([EMBMOND, "-l", tmp_path / "runs", "--config", config, "--",
                               sys.executable, "-c", LAST_WORDS],
                              timeout=30, capture_output=True, text=True)
        assert done.returncode == 7, done.stderr
        assert time.monotonic() - started < 5
        assert ["endsAt" in alert for alert in api.alerts()] == [False, True]
        assert [body["status"] for _, _, body in hook.posts] == ["firing", "resolved"]
        assert [json.loads(x)["state"] for x in out.read_text().splitlines()] == \
            ["firing", "resolved"]
        assert "not delivered" not in done.stderr


@pytest.mark.parametrize("kind", ["stopped", "killed"])
def test_the_next_embmond_tells_what_fires_and_when_it_is_over(daemons, tmp_path, kind):
    """While embmond is away nothing is over: its trainer goes on."""
    with Receiver() as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)))
        patient = Patient(daemon)
        patient.fall_ill()
        told = receiver.wait_for(1)
        if kind == "killed":
            daemon.process.kill()
        daemon.stop()
        assert receiver.alerts() == told
        daemon.start()
        patient.trainer = daemon.trainer(session=patient.trainer.session, given="run")
        patient.trainer.sequence = patient.trainer.welcome.sequence
        again = receiver.wait_for(2)
        assert [{**alert, "endsAt": ""} for alert in again] == [
            {**alert, "endsAt": ""} for alert in told]
        patient.get_well()
        (over,) = receiver.wait_for(3)
        assert "endsAt" in over
        assert [line["state"] for line in daemon.alerts_file()] == ["firing", "resolved"]


def test_a_second_signal_does_not_wait_for_sinks(daemons, tmp_path):
    with Receiver("hang") as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver, timeout=30)))
        Patient(daemon).fall_ill()
        wait_for(lambda: receiver.tries, "an attempt")
        daemon.signal(signal.SIGTERM)
        wait_for(lambda: daemon.lines("taking in"), "the first")
        started = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 128 + signal.SIGTERM
        assert time.monotonic() - started < 1


# ---- flapping

STEPS = 10_000


def test_a_gradient_that_is_sick_every_other_step_fires_once(daemons, tmp_path):
    """For 10,000 steps: one alert that stays, told once, and files as small as ever."""
    with Receiver() as receiver:
        config = sinks(tmp_path, webhook(receiver, format="alertmanager-webhook"))
        daemon = daemons("--config", config)
        sick, well = numpy.full(4, NAN, numpy.float32), numpy.ones(4, numpy.float32)
        with embmon.Client(run="flap", address=f"unix:{daemon.socket}") as client:
            table = client.layer("table", "embedding", rows=4, columns=2)
            for step in range(STEPS):
                client.post(table, "gradient", step, well if step % 2 else sick)
                client.step(step)
                while step % 100 == 0 and client.stats().in_flight > 1000:
                    time.sleep(0.001)
            wait_for(lambda: client.stats().in_flight == 0, "all to be taken")
            assert client.stats().dropped == 0
            assert daemon.ask("alerts", "--firing")[0]["detector"] == "gradient_nonfinite"
            assert len(receiver.alerts()) == 1
        assert daemon.stop() == 0
        assert [(a["state"], a["step"]) for a in daemon.alerts_file("flap")] == \
            [("firing", 0), ("resolved", STEPS - 1)]
        assert [alert["status"] for alert in receiver.alerts()] == ["firing", "resolved"]
        run = readers.rust(daemon.logdir)["flap/embmon"]
        assert max(len(series) for series in run.histograms.values()) < 64 * 10 * 2
        assert len(run.histograms["anomaly/table"]) <= 50
        assert sum(path.stat().st_size for path in daemon.event_files("flap")) < 4 << 20
