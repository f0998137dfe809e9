"""Ids and shapes from a client's call to the alert, and in TensorBoard's readers: told when they are
posted, whether their step ends or the trainer dies."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import readers
from harness import BUILD, ROOT, Daemon, Trainer, proto, wait_for

PACKAGE = ROOT / "client" / "python"
sys.path.insert(0, str(PACKAGE))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402

RNG = np.random.default_rng(7)


@pytest.fixture
def client(daemon):
    client = embmon.Client(address=f"unix:{daemon.socket}", run="run")
    client.layer("inner_model/embedding", "embedding", rows=1000, columns=16, padding_id=0)
    yield client
    client.close(5)


def told(daemon, detector):
    return [a for a in daemon.alerts_file() if a["detector"] == detector]


def first(daemon, detector):
    wait_for(lambda: told(daemon, detector), detector)
    return told(daemon, detector)[0]


def padded(lengths, width=14, side="post"):
    """Sequences of ids as pad_sequences() makes them."""
    out = np.zeros((len(lengths), width), np.int32)
    for row, length in zip(out, lengths):
        row[slice(length) if side == "post" else slice(width - length, width)] = \
            RNG.integers(1, 1000, length)
    return out


def test_a_trainer_that_dies_in_its_forward_pass_has_said_why(daemon):
    trainer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(f"""
        import sys, time, numpy as np
        sys.path.insert(0, {str(PACKAGE)!r})
        import embmon
        client = embmon.Client(address="unix:{daemon.socket}", run="run")
        client.layer("inner_model/embedding", "embedding", rows=10000, columns=50)
        ids = np.ones((64, 10), np.int64)
        ids[0, 5] = 10000
        client.post_fed("inner_model/embedding", "input1", 312, ids)
        print("posted", flush=True)
        time.sleep(60)  # the forward pass
    """)], stdout=subprocess.PIPE, env=os.environ | {"EMBMON_LIBRARY": str(BUILD / "libembmon.so")})
    try:
        trainer.stdout.readline()
        alert = first(daemon, "ids_out_of_range")
    finally:
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
    assert (alert["state"], alert["step"], alert["severity"], alert["ranks"]) == (
        "firing", 312, "critical", [0])
    assert alert["summary"] == (
        "id 10000 was fed to inner_model/embedding (10000 rows) at step 312, sequence 0, place 5 of "
        "input input1; ids 0 ... 9999 are valid; 1 of 640 ids in this batch are outside (0.16 %)")
    assert "the tokenizer's vocabulary is one larger than input_dim" in alert["hint"]
    wait_for(lambda: "closed" in [a["reason"] for a in told(daemon, "ids_out_of_range")]
             or not daemon.ask("runs")[0]["live"], "the lost connection")
    assert [a["state"] for a in told(daemon, "ids_out_of_range")][0] == "firing"
    assert len([a for a in told(daemon, "ids_out_of_range") if a["state"] == "firing"]) == 1


def test_each_id_just_inside_is_fine_and_just_outside_is_not(daemon, client):
    ids = np.array([[1, 999, 0]])
    client.post_ids("inner_model/embedding", 0, ids)
    client.step(0)
    client.post_ids("inner_model/embedding", 1, ids - 1)
    alert = first(daemon, "ids_out_of_range")
    assert (alert["step"], alert["value"]) == (1, 1)
    assert alert["summary"].startswith("id -1 reached inner_model/embedding")


def test_fractions_are_critical_and_integers_in_floats_an_info(daemon, client):
    ids = padded([5, 14])
    client.post_fed("inner_model/embedding", "words", 0, ids)
    client.post_ids("inner_model/embedding", 0, ids.astype(np.float32))
    assert first(daemon, "ids_dtype")["severity"] == "info"
    client.step(0)
    client.post_ids("inner_model/embedding", 1, ids + np.float32(0.5))
    wait_for(lambda: len(told(daemon, "ids_dtype")) == 2, "the second")
    assert told(daemon, "ids_dtype")[1]["severity"] == "critical"


def test_padding_before_where_training_padded_after_is_told_at_the_first_prediction(daemon, client):
    for step in range(20):
        client.post_ids("inner_model/embedding", step, padded(RNG.integers(5, 15, 32)))
        client.step(step)
    client.phase("inference")
    client.post_ids("inner_model/embedding", 0, padded([6, 9], side="pre"))
    client.step(0)
    alert = first(daemon, "padding_side")
    assert (alert["state"], alert["phase"], alert["value"]) == ("firing", "inference", 2)


def test_one_short_sequence_that_is_padded_as_in_training_is_an_info_at_most(daemon, client):
    client.post_ids("inner_model/embedding", 0, padded([5, 14, *RNG.integers(5, 15, 30)]))
    client.step(0)
    client.phase("inference")
    client.post_ids("inner_model/embedding", 0, padded([3]))
    client.step(0)
    assert first(daemon, "sequence_length_drift")["severity"] == "info"
    assert {a["severity"] for a in daemon.alerts_file()} == {"info"}


def test_sequences_that_were_never_padded_are_told_at_the_second_prediction(daemon, client):
    client.post_ids("inner_model/embedding", 0, padded([5, 14, *RNG.integers(5, 15, 30)]))
    client.step(0)
    client.phase("inference")
    for step, length in enumerate((3, 4)):
        client.post_ids("inner_model/embedding", step, RNG.integers(1, 1000, (1, length)))
        client.step(step)
    alert = first(daemon, "padding_side")
    assert (alert["state"], alert["step"]) == ("firing", 1)
    assert "without padding" in alert["summary"]


def test_an_empty_sequence_before_an_average_is_told(daemon, client):
    client.layer("average", "pooling", inputs=["inner_model/embedding"])
    client.post_ids("inner_model/embedding", 0, padded([5, 0]))
    alert = first(daemon, "sequence_empty")
    assert "the first is sequence 1; average averages over them" in alert["summary"]


def test_a_mask_that_is_not_the_padding_is_told(daemon, client):
    ids = padded([5, 9])
    client.post_ids("inner_model/embedding", 0, ids, mask=ids != 0)
    client.step(0)
    mask = ids != 0
    mask[1, 13] = True
    client.post_ids("inner_model/embedding", 1, ids, mask=mask)
    alert = first(daemon, "mask_mismatch")
    assert (alert["step"], alert["value"]) == (1, 1)
    assert "first at sequence 1, place 13" in alert["summary"]


def test_rows_an_epoch_did_not_look_up_are_told_at_its_end(daemon, client):
    for step in range(4):
        client.post_ids("inner_model/embedding", step, np.arange(1, 101).reshape(2, 50) + 100 * step)
        client.step(step)
    client.epoch(0)
    alert = first(daemon, "rows_dead")
    assert (alert["severity"], alert["step"]) == ("info", 3)
    assert alert["value"] == pytest.approx(599 / 999)


def test_a_concatenation_that_cannot_be_names_every_shape_on_the_way(daemon, client):
    client.layer("inner_model/embedding_1", "embedding", rows=5000, columns=30)
    client.layer("inner_model/flatten", "other", inputs=["inner_model/embedding"])
    client.layer("inner_model/concatenate", "concatenate",
                 inputs=["inner_model/flatten", "inner_model/embedding_1"])
    client.post_shape("inner_model/embedding", 0, "output", (32, 1, 16))
    client.post_shape("inner_model/flatten", 0, "output", (32, 16))
    client.post_shape("inner_model/embedding_1", 0, "output", (32, 1, 30))
    for index, dims in enumerate([(32, 16), (32, 1, 30)]):
        client.post_shape("inner_model/concatenate", 0, "input", dims, index=index, inputs=2, axis=-1)
    alert = first(daemon, "shape_mismatch")
    assert (alert["layer"], alert["severity"]) == ("inner_model/concatenate", "critical")
    assert ("inner_model/embedding (32, 1, 16) -> inner_model/flatten (32, 16); "
            "inner_model/embedding_1 (32, 1, 30)") in alert["hint"]


def test_another_length_in_inference_is_told(daemon, client):
    client.post_shape("inner_model/embedding", 0, "output", (32, 14, 16))
    client.step(0)
    client.phase("inference")
    client.post_shape("inner_model/embedding", 0, "output", (1, 4, 16))
    alert = first(daemon, "shape_changed")
    assert (alert["phase"], alert["severity"]) == ("inference", "warning")
    assert "maxlen" in alert["hint"]


# ---- what TensorBoard's readers make of it

TOWER = "tower/embedding"


class Reader(Trainer):
    def declare(self):
        self.send(proto.Layers(layers=[proto.Layer(
            id=self.TABLE, path=TOWER, kind=1, trainable=True, rows=100, columns=8, dtype=1,
            has_padding=True)]))

    def ids(self, step, phase=1, fed=False, **stats):
        self.send(proto.Ids(sequence=self.next(), target=self.TABLE, phase=phase, step=step, fed=fed,
                            dtype=7, stats=proto.IdStats(**({"count": 64} | stats))))


def test_ids_are_charted_in_every_phase(tmp_path):
    with Daemon(logdir=tmp_path / "runs") as daemon:
        with Reader(daemon.socket) as trainer:
            for step in range(4):
                trainer.ids(step, fed=True, beyond=step, worst=100 if step else 0, unique=30)
                trainer.ids(step, padded=16 * step, unique=10 + step)
                trainer.send(trainer.step_end(step, 2))
            for phase in (2, 3):
                trainer.ids(0, phase, padded=32, unique=5)
                trainer.send(trainer.step_end(0, 1, phase))
            trainer.settle()
            trainer.bye()
        assert daemon.stop() == 0, daemon.log()
        scalars = readers.both(daemon.logdir)["run/embmon"].scalars
    by_step = {tag: values for tag, values in scalars.items() if "embedding/" in tag
               and not tag.startswith("alerts/")}
    steps = range(4)
    training = {f"embedding/ids_out_of_range/{TOWER}": [(s, s) for s in steps],
                f"embedding/padding_fraction/{TOWER}": [(s, s / 4) for s in steps],
                f"embedding/unique_ids/{TOWER}": [(s, 10 + s) for s in steps],
                f"embedding/coverage/{TOWER}": [(s, pytest.approx((10 + s) / 100)) for s in steps]}
    others = {f"{phase}/embedding/{kind}/{TOWER}": [(0, pytest.approx(value))]
              for phase in ("validation", "inference")
              for kind, value in (("ids_out_of_range", 0), ("padding_fraction", 0.5),
                                  ("unique_ids", 5), ("coverage", 0.05))}
    assert by_step == training | others
