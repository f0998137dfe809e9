"""The models of two articles on what goes wrong with embedding layers in Keras, each in a process of
its own, as they should be and with the mistakes the articles speak of."""

import os
import subprocess
import sys

import pytest

from harness import BUILD, ROOT

pytest.importorskip("tensorflow")

PRELUDE = """
import sys
import numpy as np
import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import Model, layers
from embmon.keras import EmbmonCallback

np.random.seed(1)
keras.utils.set_random_seed(1)
watch = EmbmonCallback(address=sys.argv[1], run="article", every=1)
ROWS, WIDTH = 1000, 16

def fit(model, x, y=None, **named):
    model.compile(optimizer="adam", loss="mse")
    rows = len(x[0] if isinstance(x, list) else x)
    model.fit(x, np.random.rand(rows) if y is None else y, epochs=1, verbose=0, callbacks=[watch],
              **named)
"""


def run(daemon, script, raises=None):
    """The alerts of a script, {detector: [changes]}, and what it wrote on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + script, f"unix:{daemon.socket}"],
        text=True, capture_output=True, timeout=300, check=False,
        env=os.environ | {"EMBMON_LIBRARY": str(BUILD / "libembmon.so"), "KERAS_BACKEND": "tensorflow",
                          "PYTHONPATH": str(ROOT / "client" / "python"), "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert daemon.stop() == 0
    if raises is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and raises in done.stderr, done.stderr
    alerts = {}
    for change in daemon.alerts_file("article"):
        # Infos of the tables themselves: so few random ids leave out most of one.
        if change["state"] == "firing" and not change["detector"].startswith("rows_"):
            alerts.setdefault(change["detector"], []).append(change)
    return alerts, done.stderr


def only_info(alerts):
    return all(a["severity"] == "info" for changes in alerts.values() for a in changes)


# ---- ids beyond the vocabulary

VOCABULARY = """
table = layers.Embedding(input_dim=ROWS, output_dim=WIDTH, mask_zero=True)
good = np.random.randint(0, ROWS, size=(32, 10))
bad = good.copy()
bad[0, 5] = ROWS
entry = layers.Input(shape=(10,))
model = Model(inputs=entry, outputs=layers.Dense(1)(table(entry)))
fit(model, good)
"""


def test_ids_within_the_vocabulary(daemon):
    alerts, _ = run(daemon, VOCABULARY)
    assert only_info(alerts) and set(alerts) <= {"ids_dtype"}


def test_an_id_beyond_the_vocabulary(daemon):
    """TensorFlow's error arrives as it is, and before it is shown, so is the alert."""
    alerts, err = run(daemon, VOCABULARY + "fit(model, bad)", "InvalidArgumentError")
    assert "is not in [0, 1000)" in err
    (alert,) = alerts["ids_out_of_range"]
    assert alert["severity"] == "critical" and alert["layer"] == "embedding"
    assert alert["step"] == 1 and "1000" in alert["summary"] and "input_layer" in alert["summary"]
    said = [line for line in err.splitlines() if line.startswith("embmon: critical")]
    assert len(said) == 1 and "ids_out_of_range" in said[0] and alert["summary"] in said[0]


# ---- floats

FLOATS = """
table = layers.Embedding(input_dim=ROWS, output_dim=WIDTH, mask_zero=True)
whole = np.random.randint(0, ROWS, size=(32, 10))
entry = layers.Input(shape=(10,), dtype=tf.int32)
model = Model(inputs=entry, outputs=layers.Dense(1)(table(entry)))
fit(model, whole)
"""


def test_integers_for_an_input_of_integers(daemon):
    alerts, _ = run(daemon, FLOATS)
    assert not alerts


def test_floats_for_an_input_of_integers(daemon):
    """Trains without a word of Keras'."""
    alerts, _ = run(daemon, FLOATS + "fit(model, whole.astype(np.float32))")
    assert set(alerts) == {"ids_dtype"}
    (alert,) = alerts["ids_dtype"]
    assert (alert["severity"], alert["layer"], alert["step"]) == ("warning", "embedding", 1)


# ---- padding

PADDED = """
def texts(n, low, high):
    return [np.random.randint(1, ROWS, size=np.random.randint(low, high)) for _ in range(n)]

def padded(sequences, **named):
    return keras.preprocessing.sequence.pad_sequences(sequences, **({"padding": "post"} | named))

def build(length):
    entry = layers.Input(shape=(length,))
    x = layers.Embedding(input_dim=ROWS, output_dim=WIDTH, mask_zero=True)(entry)
    return Model(inputs=entry, outputs=layers.Dense(1)(layers.GlobalAveragePooling1D()(x)))

train = texts(32, 5, 15)
length = max(map(len, train))
model = build(LENGTH)
fit(model, padded(train, maxlen=length))
"""
FIXED, FREE = PADDED.replace("LENGTH", "length"), PADDED.replace("LENGTH", "None")


def test_a_short_sequence_padded_as_in_training(daemon):
    """The article's own inference, which is right."""
    alerts, _ = run(daemon, FIXED + """
model.predict(padded(texts(1, 1, 5), maxlen=length), verbose=0, callbacks=[watch])""")
    assert only_info(alerts)


def test_padding_on_the_other_side(daemon):
    alerts, _ = run(daemon, FIXED + """
model.predict(padded(texts(4, 2, 8), maxlen=length, padding="pre"), verbose=0, callbacks=[watch])""")
    (alert,) = alerts["padding_side"]
    assert (alert["severity"], alert["phase"]) == ("warning", "inference")


def test_padding_that_is_missing(daemon):
    """Of a model that takes any length."""
    alerts, _ = run(daemon, FREE + """
model.predict(np.stack([t[:4] for t in texts(4, 5, 8)]), verbose=0, callbacks=[watch])""")
    (alert,) = alerts["padding_side"]
    assert (alert["severity"], alert["phase"]) == ("warning", "inference")
    assert "without padding" in alert["summary"]
    assert "shape_changed" not in alerts  # the model says that lengths vary


def test_padding_that_is_missing_where_the_length_is_fixed(daemon):
    """Keras refuses it; the alert says what was fed, and what in training."""
    alerts, err = run(daemon, FIXED + """
model.predict(np.stack([t[:4] for t in texts(4, 5, 8)]), verbose=0, callbacks=[watch])""",
                      "ValueError")
    (alert,) = alerts["shape_changed"]
    assert (alert["layer"], alert["phase"]) == ("embedding", "inference")
    assert "shape_changed embedding" in err


def test_a_sequence_that_is_all_padding(daemon):
    alerts, _ = run(daemon, FIXED + """
model.predict(np.zeros([1, length], "int32"), verbose=0, callbacks=[watch])""")
    (alert,) = alerts["sequence_empty"]
    assert (alert["severity"], alert["layer"]) == ("critical", "embedding")


# ---- an inner model with two tables

INNER = """
from tensorflow.keras.layers import Dense, Embedding, Flatten, Input, Reshape, concatenate

def build(rows, columns):
    inputs = [Input(shape=(1,), name="input1"), Input(shape=(1,), name="input2")]
    parts = [Flatten()(Embedding(n, m, input_length=1)(x))
             for x, n, m in zip(inputs, rows, columns)]
    x = Dense(64, activation="relu")(concatenate(parts))
    return keras.Model(inputs=inputs, outputs=Dense(1, activation="sigmoid")(x))

inner = build((10000, 5000), (50, 30))
n = 320
x = [np.random.randint(0, 10000, n), np.random.randint(0, 5000, n)]
y = np.random.randint(0, 2, n)
"""


def test_two_tables_in_an_inner_model(daemon):
    """Its inputs are float32 by default: at most an info."""
    alerts, _ = run(daemon, INNER + """
fit(inner, x, y)
assert inner.predict([np.array([1, 5, 10]), np.array([2, 10, 50])], verbose=0,
                     callbacks=[watch]).shape == (3, 1)""")
    assert only_info(alerts)
    assert {a["layer"] for a in alerts.get("ids_dtype", [])} <= {"embedding", "embedding_1"}


def test_it_within_another_and_beside_keras_tensorboard(daemon, tmp_path):
    alerts, _ = run(daemon, INNER + f"""
outer_inputs = [Input(shape=(1,), name="left"), Input(shape=(1,), name="right")]
outer = keras.Model(outer_inputs, Dense(1)(inner(outer_inputs)))
outer.compile(optimizer="adam", loss="mse")
outer.fit(x, y, epochs=2, batch_size=32, verbose=0, callbacks=[
    watch, keras.callbacks.TensorBoard(log_dir={str(tmp_path)!r}, histogram_freq=1)])
x[1][7] = 5000
outer.evaluate(x, y, batch_size=32, verbose=0, callbacks=[watch])""", "InvalidArgumentError")
    (alert,) = alerts.pop("ids_out_of_range")
    assert alert["layer"].endswith("/embedding_1") and alert["phase"] == "validation"
    assert "right" in alert["summary"] and "5000" in alert["summary"]
    assert only_info(alerts)


def test_the_inputs_are_exchanged(daemon):
    """Ids of the large vocabulary in the small table."""
    alerts, _ = run(daemon, INNER + "fit(inner, x[::-1], y)", "InvalidArgumentError")
    (alert,) = alerts["ids_out_of_range"]
    assert alert["layer"] == "embedding_1" and "input2" in alert["summary"]


def test_one_input_is_missing(daemon):
    """Keras' error, unchanged; no alert is about it."""
    alerts, err = run(daemon, INNER + """
fit(inner, x, y)
inner.predict(x[0], verbose=0, callbacks=[watch])""", "ValueError")
    assert "input" in err and only_info(alerts)


JOINED = """
class Joined(keras.Model):
    def __init__(self, axis):
        super().__init__(name="joined")
        self.tables = [layers.Embedding(100, 50, name="users"), layers.Embedding(100, 30, name="items")]
        self.flat = [layers.Reshape((50,), name="flat_users"), layers.Reshape((30,), name="flat_items")]
        self.join = layers.Concatenate(axis=axis, name="join")
        self.out = layers.Dense(1, name="out")

    def call(self, inputs):
        a, b = (t(x) for t, x in zip(self.tables, inputs))
        if self.join.axis == -1:
            a, b = (f(x) for f, x in zip(self.flat, (a, b)))
        return self.out(self.join([a, b]))

model = Joined(AXIS)
fit(model, [np.random.randint(0, 100, (32, 1)), np.random.randint(0, 100, (32, 1))])
"""


def test_a_concatenation_that_fits(daemon):
    alerts, _ = run(daemon, JOINED.replace("AXIS", "-1"))
    assert not alerts


def test_a_concatenation_of_widths_that_do_not_fit(daemon):
    """Keras raises while it traces the first step: the shapes have arrived nevertheless."""
    alerts, err = run(daemon, JOINED.replace("AXIS", "1"), "Concatenate")
    (alert,) = alerts["shape_mismatch"]
    assert (alert["severity"], alert["layer"], alert["step"]) == ("critical", "join", 0)
    assert "50" in alert["summary"] and "30" in alert["summary"]
    assert "users" in alert["hint"] and "items" in alert["hint"]
    assert "shape_mismatch join" in err


def test_a_concatenation_that_fails_at_construction(daemon):
    """A functional model of such widths is never made, so no callback ever sees it."""
    alerts, _ = run(daemon, """
a, b = (layers.Embedding(100, n)(layers.Input(shape=(1,))) for n in (50, 30))
layers.concatenate([a, b], axis=1)""", "ValueError")
    assert not alerts
