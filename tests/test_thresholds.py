"""Thresholds and ignored detectors set by the trainer: on the wire, through the client, in embmonctl,
in TensorBoard, and over a daemon that dies."""

import os
import re
import sys

import numpy as np
import pytest

import readers
from harness import BUILD, ROOT, proto, wait_for

PACKAGE = ROOT / "client" / "python"
sys.path.insert(0, str(PACKAGE))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402
from embmon import _detectors  # noqa: E402


def rules(thresholds=(), ignores=()):
    return proto.Layers(
        thresholds=[proto.Threshold(detector=d, layers=p, key=k, value=v)
                    for d, p, k, v in thresholds],
        ignores=[proto.Ignore(detector=d, layers=p) for d, p in ignores])


def alerts(daemon):
    return {(a["detector"], a["layer"]): a for a in daemon.ask("alerts")}


def test_a_trainer_sets_what_counts_for_which_layer(daemon):
    trainer = daemon.trainer()
    trainer.send(rules([("gradient_spike", "embedding", "layer", 1.5),
                        ("gradient_spike", "*", "model", 1.2)],
                       [("gradient_vanishing", "tower/*"), ("loss_diverged", "*")]))
    trainer.step(*range(12), values=[0.5])
    trainer.step(12, values=[1.0])  # twice as large: far below the default of 8
    trainer.settle()
    said = alerts(daemon)
    assert list(said) == [("gradient_spike", "tower/embedding")]
    assert said["gradient_spike", "tower/embedding"]["threshold"] == pytest.approx(1.5 * 0.5)
    silent = {x["layer"]: x["silent"].get("gradient_vanishing") for x in daemon.ask("layers")}
    assert silent == dict.fromkeys(("tower/embedding", "tower/dense"), "ignored by the trainer")
    trainer.bye()


def test_what_the_daemon_does_not_know_is_refused_with_what_it_does(daemon):
    trainer = daemon.trainer()
    wrong = rules([("gradient_explodes", "*", "layer", 9), ("gradient_spike", "embedding", "layer", 1.5),
                   ("gradient_spike", "embedding", "model", 1.2), ("gradient_spike", "*", "norm", 1)],
                  [("gradient_nonfinit", "*")])
    for _ in range(2):
        trainer.send(wrong)
        nack = trainer.receive_until("Nack")
        assert (nack.sequence, nack.reason) == (0, 1)
        known = 'there is no detector "gradient_explodes"; those with thresholds are: '
        assert nack.detail.startswith(known)
        assert set(nack.detail[len(known):].split(", ")) == {
            detector for detector, _ in keys_of_the_code()}
    trainer.step(*range(12), values=[0.5])
    trainer.step(12, values=[1.0])
    trainer.settle()
    assert list(alerts(daemon)) == [("gradient_spike", "tower/embedding")]  # the rest counts
    lines = daemon.lines("a declaration was refused")
    assert [re.sub(r".*refused: ", "", line)[:45] for line in lines] == [
        'there is no detector "gradient_explodes"; tho', 'gradient_spike has no threshold "norm"; it ha',
        'there is no detector "gradient_nonfinit"; the']
    assert daemon.lines("was refused") == lines
    assert daemon.status()["rejected"] == 0
    trainer.bye()


@pytest.mark.parametrize("message", [
    rules([("", "*", "layer", 1)]), rules([("a", "", "layer", 1)]), rules([("a", "*", "Layer", 1)]),
    rules([("a", "*", "layer", float("nan"))]), rules(ignores=[("a" * 32, "*")]),
    rules([("a", "*", "layer", 1)] * 257), rules(ignores=[("a", "*")] * 257),
], ids=["no detector", "no pattern", "no key", "nan", "long name", "thresholds", "ignores"])
def test_what_is_no_threshold_at_all_ends_the_connection_alone(daemon, message):
    other, trainer = daemon.trainer("other"), daemon.trainer()
    trainer.send(message)
    nack = trainer.receive_to_end()[-1]
    assert (nack.DESCRIPTOR.name, nack.reason) == ("Nack", 5)
    other.step(0)
    other.settle()
    assert daemon.alive()
    other.close()


def post(client, steps, norm):
    for step in steps:
        for layer in ("in/a", "in/b"):
            client.post(layer, "gradient", step, np.array([norm, 0], np.float32))
        client.scalar("loss", step, min(norm, 4.0))
        client.step(step)


def settled(client):
    wait_for(lambda: client.stats().in_flight == 0, "all to be acknowledged")


def test_the_client_says_them_to_every_daemon(daemon):
    with embmon.Client(run="run", address=f"unix:{daemon.socket}", log=lambda line: None) as client:
        client.threshold("gradient_exploding", "in/a", "layer", 10)
        client.threshold("gradient_exploding", "*", "model", 2)
        client.threshold("gradient_exploding", "in/a", "layer", 5)
        client.ignore("gradient_spike", "*")
        post(client, range(26), 1.0)
        settled(client)
        daemon.process.kill()
        daemon.process.wait()
        daemon.start()
        post(client, range(26, 60), 1.0)
        post(client, range(60, 64), 7.0)
        settled(client)
        assert client.close() == 0
    assert list(alerts(daemon)) == [("gradient_exploding", "in/a")]
    assert alerts(daemon)["gradient_exploding", "in/a"]["threshold"] == pytest.approx(5)
    assert alerts(daemon)["gradient_exploding", "in/a"]["first_step"] == 60
    daemon.stop()
    run = readers.both(daemon.logdir)["run/embmon"]
    for layer, high in (("in/a", 5), ("in/b", 100)):
        values = [v for step, v in run.scalars[f"gradient_norm_high/{layer}"] if step < 60]
        assert values and values == pytest.approx([high] * len(values))


def test_a_clients_own_mistakes_are_errors(daemon):
    with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
        for arguments in [("", "*", "layer", 1), ("a" * 32, "*", "layer", 1), ("a", "*", "Layer", 1),
                          ("a", "*", "", 1), ("a\0b", "*", "k", 1), (None, "*", "k", 1)]:
            with pytest.raises(embmon.InvalidNameError):
                client.threshold(*arguments)
        for arguments in [("a", "", "layer", 1), ("a", "*" * 256, "layer", 1),
                          ("a", "*", "layer", float("nan")), ("a", "*", "layer", float("inf"))]:
            with pytest.raises(embmon.InvalidArgumentError):
                client.threshold(*arguments)
        with pytest.raises(embmon.InvalidNameError):
            client.ignore("", "*")
        with pytest.raises(embmon.InvalidArgumentError):
            client.ignore("a", "a\nb")
        for i in range(256):
            client.ignore("gradient_spike", f"layer_{i}")
        with pytest.raises(embmon.LimitError):
            client.threshold("gradient_spike", "*", "layer", 1)
        client.ignore("gradient_spike", "layer_0")
    with pytest.raises(embmon.ClosedError):
        client.ignore("gradient_spike", "*")


# ---- the tables of keys

def keys_of_the_code():
    """{(detector, key): default}"""
    code = (ROOT / "daemon/detect/detect.c").read_text()
    defaults = dict(re.findall(r"\.(\w+) = ([\d.e-]+),", code.split("limits_default = {")[1]))
    return {(detector, key): float(defaults[limit])
            for detector, key, limit in re.findall(r'KEY\("(\w+)", "(\w+)", (\w+)\)', code)}


def test_keys_and_defaults_are_in_the_man_page():
    page = (ROOT / "docs/libembmon.3").read_text()
    listed = re.findall(r"^\.It Cm (\w+) (\w+) , No (\S+)$", page, flags=re.M)
    assert {(detector, key): float(value) for detector, key, value in listed} == \
        keys_of_the_code(), "docs/libembmon.3"
    assert len(keys_of_the_code()) >= 8


def test_python_knows_the_detectors_and_their_keys():
    code = (ROOT / "daemon/detect/detect.c").read_text()
    assert set(_detectors.DETECTORS) == set(re.findall(r'\{\.name = "(\w+)"', code)), "DETECTORS"
    assert {(detector, key) for detector, keys in _detectors.THRESHOLDS.items() for key in keys} \
        == set(keys_of_the_code()), "THRESHOLDS"


def test_python_knows_which_detectors_judge_the_whole_model():
    code = (ROOT / "daemon/detect/detect.c").read_text()
    rows = re.findall(r'\{\.name = "(\w+)"(.*?)\.clauses', code, flags=re.S)
    assert {name for name, row in rows if ".of_model = true" in row} == set(_detectors.OF_MODEL)


def test_a_callbacks_thresholds_are_read():
    assert _detectors.threshold_rows({
        "gradient_exploding": {"inner_model/*": {"layer": 50}, "model": 2},
        "loss_diverged": {"factor": 0}}) == [
            ("gradient_exploding", "*", "model", 2.0),
            ("gradient_exploding", "inner_model/*", "layer", 50.0),
            ("loss_diverged", "*", "factor", 0.0)]
    assert _detectors.ignore_rows(["gradient_spike", ("gradient_vanishing", "inner_model/frozen*"),
                                   ("loss_diverged", "*")]) == [
        ("gradient_spike", "*"), ("gradient_vanishing", "inner_model/frozen*"), ("loss_diverged", "*")]
    assert _detectors.ignore_rows("gradient_spike") == [("gradient_spike", "*")]


@pytest.mark.parametrize("thresholds", [
    {"gradient_explodes": {"layer": 1}}, {"gradient_nonfinite": {"layer": 1}},
    {"gradient_spike": {"norm": 1}}, {"gradient_spike": {"layer": "8"}},
    {"gradient_spike": {"layer": float("nan")}}, {"gradient_spike": {"layer": float("inf")}},
    {"gradient_spike": {"layer": -1}}, {"gradient_spike": {"": {"layer": 1}}},
    {"gradient_spike": {"a" * 256: {"layer": 1}}}, {"gradient_spike": {"a\n": {"layer": 1}}},
    {"gradient_spike": {1: {"layer": 1}}}, {"loss_diverged": {"emb*": {"factor": 1}}}], ids=repr)
def test_what_can_be_no_threshold_is_an_error_at_construction(thresholds):
    with pytest.raises(ValueError, match="^thresholds: "):
        _detectors.threshold_rows(thresholds)


@pytest.mark.parametrize("ignore", [["gradient_explodes"], [("gradient_spike",)],
                                    [("gradient_spike", "")], [("gradient_spike", 1)],
                                    [("loss_nonfinite", "emb*")]], ids=repr)
def test_what_cannot_be_ignored_is_an_error_at_construction(ignore):
    with pytest.raises(ValueError, match="^ignore: "):
        _detectors.ignore_rows(ignore)
