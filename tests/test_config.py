"""The configuration file: checked, read at the start and again at SIGHUP; what it changes."""

import re
import signal

import pytest

from harness import EMBMOND, ROOT, Closed, proto, wait_for
from test_daemon_options import must_fail, run

EXAMPLE = ROOT / "docs" / "embmond.yaml"


@pytest.fixture
def config(tmp_path):
    """A file that can be written again."""
    class File:
        path = tmp_path / "embmond.yaml"

        def write(self, text):
            self.path.write_text(text)
            return self.path
    return File()


def reread(daemon, words="was read again"):
    """SIGHUP, and the line it is answered with."""
    before = len(daemon.lines(words))
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: len(daemon.lines(words)) > before, words)
    return daemon.lines(words)[-1]


def firing(daemon):
    return [(a["detector"], a["layer"]) for a in daemon.ask("alerts") if a["state"] == "firing"]


# ---- checking

def test_the_example_is_fine(tmp_path):
    token = tmp_path / "token"  # the example's own is not there
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    for options in (["-t", "-c", EXAMPLE], ["-tc", EXAMPLE], ["--test-config", f"--config={EXAMPLE}"]):
        done = run(*options, "--token-file", token)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"embmond: the options are fine, and so is {EXAMPLE}\n"


def test_without_a_file_the_options_are_checked():
    done = run("-t", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "embmond: the options are fine\n", "")
    must_fail(64, ["--log-format xml"], "-t", "--log-format", "xml")
    must_fail(64, ["--config needs a value"], "-tc")


def test_a_check_makes_nothing(tmp_path, config):
    path = config.write(f"logdir: {tmp_path}/runs\nlisten: [unix:{tmp_path}/socket]\n")
    assert run("-tc", path).returncode == 0
    assert run("-tc", path, "--", "touch", tmp_path / "touched").returncode == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text, line, words", [
    ("logdirs: a\n", 1, ['there is no key "logdirs"', "write one of logdir, listen"]),
    ("log:\n  level: info\nlimits:\n  runs: 1.5\n", 4, ["limits.runs", '"1.5"', "1 to 1024"]),
    ("log: {level: info}\nlog: {level: info}\n", 2, ['"log" stands here again', "line 1"]),
    ("detectors:\n  gradient_explodes: {}\n", 2, ["gradient_explodes", "gradient_exploding"]),
    ("detectors:\n  gradient_spike: {layer: .nan}\n", 2, [".nan", "a finite number of 0 or more"]),
    ("detectors:\n  gradient_spike: {ignore: yes}\n", 2, ['"yes"', "true or false"]),
    ("layers:\n  - match: *a\n    detectors: {}\n", 2, ["alias", "quotes"]),
    ("a: &b 1\n", 1, ["anchor"]), ("a: 1\n--- {}\n", 2, ["second document"]),
    ("a: b: c\n", 1, ["no YAML", "indentation"]), ("a: \N{BELL}\x07\n", 1, ["no text", "UTF-8"]),
    ("# " + "x" * (1 << 20), 1, ["larger than 1 MiB"]), ("[" * 20, 1, ["more than 16 levels"]),
], ids=lambda value: None if isinstance(value, (int, list)) else repr(value[:30]))
def test_a_wrong_file_is_told_with_its_line(text, line, words, config):
    path = config.write(text)
    for options in (["-t"], []):  # checked alone, and at the start
        must_fail(78, [f"embmond: {path}:{line}: ", *words], *options, "-c", path)


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    must_fail(78, ["cannot read /no/such/file: No such file"], "-c", "/no/such/file")
    must_fail(78, [f"{tmp_path} is no regular file"], "-c", tmp_path)


# ---- what it says counts, below the command line

def test_the_file_names_logdir_socket_and_log(daemons, config, tmp_path):
    path = config.write(f"logdir: {tmp_path}/there\nlisten: ['unix:{tmp_path}/s']\n"
                        "log: {level: debug, format: json}\n")
    daemon = daemons("-c", path)  # with --logdir and --listen
    assert daemon.status()["logdir"] == str(daemon.logdir)
    assert '"message"' in daemon.log()
    assert not (tmp_path / "there").exists() and not (tmp_path / "s").exists()
    daemon.stop()
    daemon.arguments = [str(EMBMOND), "-c", str(path), "--log-format", "text"]
    daemon.socket = tmp_path / "s"
    daemon.start()
    assert daemon.status()["logdir"] == f"{tmp_path}/there"
    assert '"message"' not in daemon.log().splitlines()[-1]


def test_a_threshold_of_the_file_changes_a_verdict(daemons, config):
    """Twice as large is no spike by default, and 0.5 above the first loss no divergence."""
    daemon = daemons("-c", config.write("detectors:\n"
                                        "  gradient_spike: {layer: 1.5, model: 1.2}\n"
                                        "  loss_diverged: {factor: 1.5, hold: 1}\n"))
    trainer = daemon.trainer()
    trainer.step(*range(12), values=[0.5])
    trainer.send(trainer.sample(12, [1.0]), trainer.sample(12, [1.0], trainer.DENSE),
                 trainer.scalar(12, "loss", 1.0), trainer.step_end(12, 3))
    trainer.settle()
    assert sorted(firing(daemon)) == [("gradient_spike", "tower/dense"),
                                      ("gradient_spike", "tower/embedding"), ("loss_diverged", "")]
    said = {a["detector"]: a for a in daemon.ask("alerts")}
    assert said["loss_diverged"]["threshold"] == pytest.approx(0.75)
    trainer.bye()


def test_layers_override_detectors_and_the_last_match_counts(daemons, config):
    daemon = daemons("-c", config.write("""\
layers:
  - match: "*"
    detectors: {gradient_spike: {layer: 100}}
  - match: embed*
    detectors: {gradient_spike: {layer: 1.5}}
  - match: tower/dense
    detectors: {gradient_spike: {ignore: true}}
detectors:
  gradient_spike: {layer: 1.5, model: 1.2}
"""))
    trainer = daemon.trainer()
    trainer.step(*range(12), values=[0.5])
    trainer.step(12, values=[1.0])
    trainer.settle()
    assert firing(daemon) == [("gradient_spike", "tower/embedding")]
    silent = {x["layer"]: x["silent"].get("gradient_spike") for x in daemon.ask("layers")}
    assert silent == {"tower/embedding": None, "tower/dense": "ignored by the configuration file"}
    trainer.bye()


def test_the_trainer_wins_over_the_file(daemons, config):
    daemon = daemons("-c", config.write("detectors: {gradient_spike: {layer: 1.5, model: 1.2}}\n"))
    trainer = daemon.trainer()
    trainer.send(proto.Layers(
        thresholds=[proto.Threshold(detector="gradient_spike", layers="embedding", key="layer",
                                    value=50)],
        ignores=[proto.Ignore(detector="gradient_vanishing", layers="*")]))
    trainer.step(*range(12), values=[0.5])
    trainer.step(12, values=[1.0])
    trainer.settle()
    assert firing(daemon) == [("gradient_spike", "tower/dense")]
    reread(daemon)  # still does when the file was read again
    trainer.step(*range(13, 30), values=[0.5])
    trainer.step(30, values=[1.0])
    trainer.settle()
    assert [a["layer"] for a in daemon.ask("alerts")] == ["tower/dense"]
    silent = {x["silent"].get("gradient_vanishing") for x in daemon.ask("layers")}
    assert silent == {"ignored by the trainer"}
    trainer.bye()


def test_limits_of_the_file_hold(daemons, config):
    daemon = daemons("-c", config.write("limits: {connections: 3, runs: 1}\n"))
    with daemon.trainer("a"), daemon.peer(), daemon.peer():
        with daemon.peer() as extra, pytest.raises(Closed):
            extra.receive()
        assert len(daemon.lines("3 connections are open")) == 1
    trainer = wait_for(lambda: daemon.ctl("status").returncode == 0 and daemon.trainer("b"), "room")
    assert [r["name"] for r in daemon.ask("runs")] == ["b"]  # "a" made room
    with daemon.peer() as late:
        late.send(proto.Hello(protocol_min=1, protocol_max=1, session=bytes(16), name="c",
                              world_size=1))
        nack = late.receive_to_end()[-1]
        assert "limits.runs" in nack.detail
    config.write("limits: {runs: 2}\n")
    reread(daemon)
    with daemon.trainer("c"):
        assert [r["name"] for r in daemon.ask("runs")] == ["b", "c"]
    trainer.bye()


# ---- SIGHUP

def test_a_file_read_again_counts_from_the_next_step_on(daemons, config):
    daemon = daemons("-c", config.write("detectors: {gradient_spike: {ignore: true}}\n"))
    trainer = daemon.trainer()
    trainer.step(*range(12), values=[0.5])
    trainer.step(12, values=[50.0])
    trainer.step(*range(13, 30), values=[0.5])
    trainer.settle()
    assert daemon.ask("alerts") == []
    config.write("detectors: {gradient_spike: {layer: 1.5, model: 1.2}}\nlog: {level: debug}\n")
    assert str(config.path) in reread(daemon)
    trainer.step(30, values=[1.0])
    trainer.settle()
    assert len(firing(daemon)) == 2
    config.write("detectors: {gradient_spike: {ignore: true}}\n")
    reread(daemon)
    trainer.step(31, values=[0.5])
    trainer.settle()
    alerts = daemon.ask("alerts")
    assert {(a["state"], a["reason"]) for a in alerts} == {("resolved", "closed")}
    for alert in alerts:
        assert re.match("the gradient norm of .* at step 30, .*; still firing when it was ignored by the "
                        "configuration file at step 31$", alert["summary"])
    assert daemon.status()["rejected"] == 0
    trainer.bye()


def test_a_bad_file_is_reported_and_the_old_one_kept(daemons, config):
    daemon = daemons("-c", config.write("detectors: {gradient_spike: {layer: 1.5, model: 1.2}}\n"))
    config.write("detectors:\n  gradient_spike: {layer: 50}\n  gradient_spikes: {}\n")
    line = reread(daemon, "the old configuration is kept")
    assert f'{config.path}:3: there is no detector "gradient_spikes"' in line
    assert " error" in line
    config.path.unlink()
    line = reread(daemon, "the old configuration is kept")
    assert f"cannot read {config.path}: No such file" in line
    trainer = daemon.trainer()
    trainer.step(*range(12), values=[0.5])
    trainer.step(12, values=[1.0])
    trainer.settle()
    assert len(firing(daemon)) == 2
    trainer.bye()
    assert daemon.stop() == 0


def test_what_needs_another_start_is_said_and_not_done(daemons, config, tmp_path):
    daemon = daemons("-c", config.write(f"listen: ['unix:{tmp_path}/a']\nlogdir: {tmp_path}/runs\n"))
    daemon.stop()
    daemon.arguments = [str(EMBMOND), "-c", str(config.path)]
    daemon.socket = tmp_path / "a"
    daemon.start()
    config.write(f"listen: ['unix:{tmp_path}/b']\nlogdir: {tmp_path}/other\n")
    for _ in range(2):  # as long as they differ
        reread(daemon)
    assert len(daemon.lines("its listen takes effect when embmond is started again")) == 2
    assert len(daemon.lines("its logdir takes effect when embmond is started again")) == 2
    daemon.trainer().bye()
    assert (tmp_path / "runs" / "run" / "embmon").is_dir() and not (tmp_path / "other").exists()
    assert daemon.status()["logdir"] == f"{tmp_path}/runs"
    config.write(f"listen: ['unix:{tmp_path}/a']\nlogdir: {tmp_path}/runs\n")
    reread(daemon)
    assert len(daemon.lines("takes effect")) == 4


def test_log_settings_follow(daemons, config):
    daemon = daemons("-c", config.write("log: {format: json}\n"))
    config.write("log: {format: text}\n")
    assert not reread(daemon).startswith("{")
    config.write("log: {level: error}\n")
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: daemon.status()["pid"], "it to go on")
    config.write("nonsense: 1\n")
    assert not reread(daemon, "the old configuration is kept").startswith("{")
    config.write("log: {format: json}\n")
    assert reread(daemon).startswith("{")
    assert daemon.stop() == 0


def test_log_options_win_at_sighup_too(daemons, config):
    daemon = daemons("-v", "--log-format", "text", "-c", config.write("log: {level: info}\n"))
    config.write("log: {level: error, format: json}\n")
    assert not reread(daemon).startswith("{")
    assert not reread(daemon).startswith("{")  # and is still said


def test_a_command_gets_sighup_itself(daemons, config):
    daemon = daemons("-c", config.write("limits: {runs: 3}\n"),
                     command=["sh", "-c", "trap 'exit 7' HUP; echo ready >&2; while :; do sleep 0.05; done"])
    wait_for(lambda: "ready" in daemon.log(), "the trap")
    daemon.signal(signal.SIGHUP)
    assert daemon.wait() == 7
    assert daemon.lines("was read again") == []
