"""For the tests of the Keras callback: models of several kinds, an embmond to watch them, and the
gradients that tf.GradientTape gives on the same batches.

Import it before TensorFlow: it sets what must be set first.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

from harness import BUILD, ROOT  # noqa: E402

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))

import numpy as np  # noqa: E402
import pytest  # noqa: E402

tf = pytest.importorskip("tensorflow")
import keras  # noqa: E402
from keras import layers  # noqa: E402

import readers  # noqa: E402
from embmon.keras import EmbmonCallback  # noqa: E402

try:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
except RuntimeError:
    pass  # another test has used it

ROWS, WIDTH, LENGTH = 50, 6, 4


def callback(daemon, run="run", **named):
    """Every step sampled, on the test's own daemon."""
    return EmbmonCallback(**({"address": f"unix:{daemon.socket}", "run": run, "every": 1} | named))


def shown(daemon, run="run"):
    """What TensorBoard shows of a run whose trainer is done, once embmond has written all of it."""
    assert daemon.stop() == 0
    found = readers.python(daemon.logdir)[f"{run}/embmon"]
    daemon.start()
    return found


def recorded(daemon, watch, run="run"):
    """What TensorBoard shows of a callback's run."""
    assert watch.close(20) == 0
    return shown(daemon, run)


# ---- models; each takes integer ids [batch, LENGTH] and gives [batch, 1]

def ids():
    return keras.Input((LENGTH,), dtype="int32")


def tower(name, embedding="embedding"):
    entry = ids()
    x = layers.Embedding(ROWS, WIDTH, name=embedding)(entry)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(entry, layers.Dense(3, activation="tanh", name="dense")(x), name=name)


def nested():
    """inner_model/embedding, inner_model/embedding_1, dense, dense_1"""
    entry = ids()
    a = layers.Embedding(ROWS, WIDTH, name="embedding")(entry)
    b = layers.Embedding(ROWS, WIDTH, name="embedding_1")(entry)
    inner = keras.Model(entry, layers.Concatenate(name="concatenate")([a, b]), name="inner_model")
    outer = ids()
    x = layers.Flatten(name="flatten")(inner(outer))
    x = layers.Dense(8, activation="relu", name="dense")(x)
    return keras.Model(outer, layers.Dense(1, name="dense_1")(x), name="outer")


def plain():
    """embedding, hidden, out"""
    return keras.Sequential([ids(), layers.Embedding(ROWS, WIDTH, name="embedding"),
                             layers.Flatten(name="flatten"),
                             layers.Dense(4, activation="relu", name="hidden"),
                             layers.Dense(1, name="out")], name="plain")


def masked():
    """embedding (masked), lstm, dropout, norm, out"""
    return keras.Sequential([ids(), layers.Embedding(ROWS, WIDTH, mask_zero=True, name="embedding"),
                             layers.LSTM(5, name="lstm"), layers.Dropout(0.3, name="dropout"),
                             layers.BatchNormalization(name="norm"),
                             layers.Dense(1, activation="sigmoid", name="out")], name="masked")


def convolved():
    """embedding, conv, bidirectional/forward_gru, bidirectional/backward_gru, ..."""
    entry = ids()
    x = layers.Embedding(ROWS, WIDTH, name="embedding")(entry)
    x = layers.Conv1D(4, 2, padding="same", activation="relu", name="conv")(x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True, name="gru"),
                             name="bidirectional")(x)
    x = layers.TimeDistributed(layers.Dense(2, name="inner"), name="over_time")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(entry, layers.Dense(1, name="out")(layers.Flatten()(x)), name="convolved")


@keras.saving.register_keras_serializable("embmon_tests")
class Subclassed(keras.Model):
    """Not built before its first call; a table and a scale of its own."""

    def __init__(self, **named):
        super().__init__(**named)
        self.table = layers.Embedding(ROWS, WIDTH, name="table")
        self.towers = [layers.Dense(4, activation="relu", name="tower"),
                       layers.Dense(4, name="tower")]
        self.dropout = layers.Dropout(0.2, name="dropout")
        self.out = layers.Dense(1, name="out")

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(1,), initializer="ones", name="scale")
        self.late = layers.Dense(4, name="late")

    def call(self, inputs, training=False):
        x = tf.reduce_mean(self.table(inputs), 1)
        x = self.towers[0](x) + self.towers[1](x)
        x = self.late(self.dropout(x, training=training))
        return self.out(x) * self.scale


def subclassed():
    return Subclassed(name="subclassed")


KINDS = {"nested": nested, "plain": plain, "masked": masked, "convolved": convolved,
         "subclassed": subclassed}


def data(batches=3, size=8, short=3, seed=0):
    """batches full ones and a short one: x [n, LENGTH] int32, y [n, 1] float32 of 0 and 1"""
    random = np.random.default_rng(seed)
    n = batches * size + short
    return (random.integers(1, ROWS, (n, LENGTH)).astype("int32"),
            random.integers(0, 2, (n, 1)).astype("float32"))


def made(build, optimizer="adam", loss="mse", seed=1, **compiled):
    """The model, compiled; equal seeds give equal weights."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = build()
    model.compile(optimizer=optimizer, loss=loss, **compiled)
    return model


# ---- the oracles

def coalesced(grad):
    """Dense float64, rows of one id added up."""
    return np.asarray(tf.convert_to_tensor(grad), np.float64)


class Tape(keras.callbacks.Callback):
    """Before every batch of fit(x, y, batch_size, shuffle=False): the gradients tf.GradientTape
    gives for it, squared sums by variable in self.squares[step][id(variable)]."""

    def __init__(self, x, y, size, weights=None):
        super().__init__()
        self.x, self.y, self.size, self.weights = x, y, size, weights
        self.squares = []

    def on_train_batch_begin(self, batch, logs=None):
        rows = slice(batch * self.size, (batch + 1) * self.size)
        x = tf.nest.map_structure(lambda a: tf.convert_to_tensor(a[rows]), self.x)
        with tf.GradientTape() as tape:
            loss = self.model.compute_loss(
                x=x, y=tf.convert_to_tensor(self.y[rows]), y_pred=self.model(x, training=True),
                sample_weight=None if self.weights is None else tf.constant(self.weights[rows]),
                training=True)
        variables = self.model.trainable_variables
        grads = tape.gradient(loss, [v.value for v in variables])
        self.squares.append({id(v): float((coalesced(g) ** 2).sum())
                             for v, g in zip(variables, grads) if g is not None})

    def norms(self, *variables):
        """Of a layer with these variables, step by step."""
        return [np.sqrt(sum(s[id(v)] for v in variables)) for s in self.squares]


@keras.saving.register_keras_serializable("embmon_tests")
class Keeper(keras.optimizers.SGD):
    """Plain SGD that keeps a copy of every gradient it is given: kept[n][path] = float64 array;
    rows of IndexedSlices that were looked up, each added up."""

    kept: list = []

    def apply(self, grads, trainable_variables=None):
        paths = [v.path for v in trainable_variables]
        parts = [(g.indices, g.values) if isinstance(g, tf.IndexedSlices) else (tf.zeros([0]), g)
                 for g in grads]

        def keep(*arrays):
            step = {}
            for path, ids, values in zip(paths, arrays[::2], arrays[1::2]):
                step[path] = values.astype(np.float64)
                if ids.size:
                    rows, place = np.unique(ids, return_inverse=True)
                    step[path] = np.zeros((len(rows), values.shape[1]))
                    np.add.at(step[path], place, values)
            self.kept.append(step)
            return np.int32(0)

        done = tf.numpy_function(keep, [x for pair in parts for x in pair], tf.int32)
        with tf.control_dependencies([done]):
            super().apply(grads, trainable_variables)


def counts_between(values, histogram):
    """How many of the values lie in each bucket of a recorded histogram. A value on an inner edge
    belongs to the bucket away from zero; the outermost edges are the least and greatest value."""
    values = np.asarray(values, np.float64).ravel()
    last = len(histogram) - 1
    return [int(((values >= left if left >= 0 or n == 0 else values > left) &
                 (values <= right if right < 0 or n == last else values < right)).sum())
            for n, (left, right, _) in enumerate(histogram)]


def assert_norms(found, expected, tolerance=1e-5):
    """found: [(step, norm)] of every step."""
    assert [step for step, _ in found] == list(range(len(expected)))
    np.testing.assert_allclose([norm for _, norm in found], expected, rtol=tolerance)
