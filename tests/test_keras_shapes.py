"""Shapes along the steps of a model, which layer reads which, and what is said when they do not fit."""

import numpy as np
import pytest

from keras_models import (LENGTH, ROWS, WIDTH, callback, data, keras, layers, made, nested, recorded,
                          subclassed, tf)
from keras_spy import MODES, Spy, alerts_of


def shapes_of(spy, phase="training", role="output"):
    """{path: shape without the batch}, as posted last."""
    return {path: dims[1:] for of, path, as_role, _, dims in spy.shapes
            if (of, as_role) == (phase, role)}


@pytest.mark.parametrize("mode", MODES)
def test_every_layer_once_in_a_phase(daemon, mode):
    x, y = data()
    watch = callback(daemon)
    spy = Spy(watch)
    model = made(nested, **MODES[mode])
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_data=(x, y), callbacks=[watch])
    model.predict(x, batch_size=8, verbose=0, callbacks=[watch])
    for phase in ("training", "validation", "inference"):
        assert shapes_of(spy, phase) == {
            "inner_model/embedding": [LENGTH, WIDTH], "inner_model/embedding_1": [LENGTH, WIDTH],
            "inner_model/concatenate": [LENGTH, 2 * WIDTH], "flatten": [2 * LENGTH * WIDTH],
            "dense": [8], "dense_1": [1]}
        joined = [(n, dims[1:]) for of, path, role, n, dims in spy.shapes
                  if (of, path, role) == (phase, "inner_model/concatenate", "input")]
        assert joined == [(0, [LENGTH, WIDTH]), (1, [LENGTH, WIDTH])]
    keys = [(phase, path, role, n) for phase, path, role, n, _ in spy.shapes]
    assert len(keys) == len(set(keys))
    assert {tuple(dims) for *_, role, _, dims in spy.shapes if role == "gradient"} == {
        (ROWS, WIDTH), (2 * LENGTH * WIDTH, 8), (8,), (8, 1), (1,)}
    assert spy.layers == {
        "inner_model/embedding": ("embedding", []), "inner_model/embedding_1": ("embedding", []),
        "inner_model/concatenate": ("concatenate", ["inner_model/embedding",
                                                    "inner_model/embedding_1"]),
        "flatten": ("other", ["inner_model/concatenate"]), "dense": ("dense", ["flatten"]),
        "dense_1": ("dense", ["dense"])}
    assert not alerts_of(daemon, watch)


def test_who_reads_whom_through_operations_of_no_layer(daemon):
    """And in a model that is built by its first call."""
    x, y = data()
    watch = callback(daemon)
    spy = Spy(watch)
    made(subclassed).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    read = {path: inputs for path, (_, inputs) in spy.layers.items()}
    assert read["tower"] == read["tower.2"] == ["table"]
    assert read["dropout"] == ["tower", "tower.2"]
    recorded(daemon, watch)


def test_a_constant_is_added(daemon):
    """It is of no graph, and of no layer."""
    def build():
        entry = keras.Input((LENGTH,), dtype="int32")
        x = layers.Embedding(ROWS, WIDTH, name="table")(entry)
        x = layers.Add(name="add")([x, np.ones((1, LENGTH, WIDTH), "float32")])
        return keras.Model(entry, layers.Dense(1, name="out")(layers.Flatten(name="flat")(x)))

    x, y = data()
    watch = callback(daemon)
    spy = Spy(watch)
    made(build).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert spy.layers["add"] == ("merge", ["table"])
    assert shapes_of(spy)["add"] == [LENGTH, WIDTH]
    assert not watch._monitor.failed
    recorded(daemon, watch)


def test_kinds_of_layers(daemon):
    def build():
        x = entry = keras.Input((LENGTH,), dtype="int32")
        x = layers.Embedding(ROWS, WIDTH, name="table")(x)
        both = layers.Average(name="average")([x, layers.Dense(WIDTH, name="dense")(x)])
        wide = layers.Concatenate(1, name="join")([both, x])
        short = layers.Dot((1, 1), name="dot")([wide, wide])
        pooled = layers.GlobalAveragePooling1D(name="pool")(wide)
        x = layers.Concatenate(name="last")([layers.Flatten(name="flat")(short), pooled])
        return keras.Model(entry, layers.Dense(1, name="out")(x))

    x, y = data()
    watch = callback(daemon)
    spy = Spy(watch)
    made(build).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert {path: kind for path, (kind, _) in spy.layers.items()} == {
        "table": "embedding", "dense": "dense", "average": "merge", "join": "concatenate",
        "dot": "other", "pool": "pooling", "flat": "other", "last": "concatenate", "out": "dense"}
    assert not alerts_of(daemon, watch)


# ---- dimensions that are only known when the step runs

class Ragged(keras.Model):
    """Two sequences of any lengths, joined side by side or added."""

    def __init__(self, join):
        super().__init__(name="ragged")
        self.tables = [layers.Embedding(ROWS, WIDTH, name="left"),
                       layers.Embedding(ROWS, WIDTH, name="right")]
        self.dense = layers.Dense(WIDTH, name="dense")
        self.join = join
        self.out = layers.Dense(1, name="out")

    def call(self, inputs):
        a, b = (table(x) for table, x in zip(self.tables, inputs))
        x = self.join([a, b])
        return self.out(tf.reduce_mean(self.dense(x), 1))


def of_any_length(*lengths):
    """A data set whose elements have these pairs of lengths."""
    random = np.random.default_rng(0)

    def batches():
        for left, right in lengths:
            yield (random.integers(1, ROWS, (8, left)), random.integers(1, ROWS, (8, right))), \
                random.random((8, 1))

    signature = ((tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.int32)),
                 tf.TensorSpec([None, 1], tf.float32))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


JOINS = {"concatenate": lambda: layers.Concatenate(name="join"), "add": lambda: layers.Add(name="join")}


@pytest.mark.parametrize("join", JOINS)
def test_lengths_that_do_not_fit_when_the_step_runs(daemon, join):
    watch = callback(daemon)
    model = made(lambda: Ragged(JOINS[join]()))
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(of_any_length((4, 4), (6, 6), (5, 3)), verbose=0, callbacks=[watch])
    (alert,) = alerts_of(daemon, watch)["shape_mismatch"]
    assert (alert["severity"], alert["layer"], alert["step"]) == ("critical", "join", 2)
    assert "5" in alert["summary"] and "3" in alert["summary"]
    assert "left" in alert["hint"] and "right" in alert["hint"]


@pytest.mark.parametrize("join", JOINS)
def test_reading_them_changes_no_number(daemon, join):
    def train(callbacks):
        model = made(lambda: Ragged(JOINS[join]()))
        history = model.fit(of_any_length((4, 4), (6, 6), (5, 5)), epochs=2, verbose=0,
                            callbacks=callbacks)
        return history.history, model.get_weights()

    watch = callback(daemon)
    spy = Spy(watch)
    history, weights = train([watch])
    twin_history, twin_weights = train([])
    assert history == twin_history
    for ours, theirs in zip(weights, twin_weights, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    lengths = [dims[1] for _, path, role, n, dims in spy.shapes
               if (path, role, n) == ("join", "input", 1)]
    assert lengths == [None, 4, 6, 5, 4, 6, 5]
    alerts = alerts_of(daemon, watch)
    assert "shape_mismatch" not in alerts, alerts


# ---- what Keras refuses

def fixed():
    entry = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(ROWS, WIDTH, name="embedding")(entry)
    return keras.Model(entry, layers.Dense(1, name="out")(layers.Flatten(name="flatten")(x)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("phase", ["training", "inference"])
def test_an_input_of_another_width(daemon, capfd, mode, phase):
    """Keras' ValueError, and which table it would have reached, how wide it was in training."""
    x, y = data()
    watch = callback(daemon)
    model = made(fixed, **MODES[mode])
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    wide = np.concatenate([x, x[:, :2]], 1)
    with pytest.raises(ValueError, match="incompatible|expected"):
        if phase == "training":
            model.fit(wide, y, batch_size=8, verbose=0, callbacks=[watch])
        else:
            model.predict(wide, batch_size=8, verbose=0, callbacks=[watch])
    alerts = alerts_of(daemon, watch)
    (alert,) = alerts["shape_changed"]
    assert (alert["layer"], alert["phase"], alert["severity"]) == ("embedding", phase, "warning")
    assert str(LENGTH + 2) in alert["summary"] and str(LENGTH) in alert["summary"]
    assert "shape_changed embedding" in capfd.readouterr().err


@pytest.mark.parametrize("mode", MODES)
def test_a_join_that_never_fits(daemon, mode):
    """Raises while the first step is traced, before the layer itself is called."""
    x, y = data()
    watch = callback(daemon)
    with pytest.raises(ValueError, match="Concatenate"):
        made(lambda: Ragged(layers.Concatenate(name="join")), **MODES[mode]).fit(
            (x, x[:, :3]), y, batch_size=8, verbose=0, callbacks=[watch])
    (alert,) = alerts_of(daemon, watch)["shape_mismatch"]
    assert (alert["severity"], alert["layer"], alert["step"]) == ("critical", "join", 0)


def test_a_length_that_the_model_lets_vary(daemon):
    def build():
        entry = keras.Input((None,), dtype="int32")
        x = layers.Embedding(ROWS, WIDTH, name="embedding")(entry)
        x = layers.Dense(3, name="dense")(x)
        return keras.Model(entry, layers.Dense(1, name="out")(layers.GlobalAveragePooling1D()(x)))

    x, y = data()
    watch = callback(daemon)
    model = made(build)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    model.predict(x[:, :2], verbose=0, callbacks=[watch])
    assert not alerts_of(daemon, watch)
