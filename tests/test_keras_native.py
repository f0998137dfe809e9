"""The operations of a graph against its branches: what is recorded is the same, to the bit, for all
kinds of models, and so are the alerts; and what only operations have to see to."""

import gc
import sys

import numpy as np
import pytest

from keras_models import (KINDS, LENGTH, ROWS, WIDTH, callback, data, keras, layers, made, nested,
                          plain, recorded, tf)

COSTS = {"embmond/overhead_percent", "embmond/sampled_every"}


def wide():
    """A table, an activation and a kernel that are lent; one that nobody reads, one that is fused."""
    entry = keras.Input((64,), dtype="int32")
    x = layers.Embedding(5000, 32, name="embedding")(entry)
    x = layers.Dense(96, name="linear")(x)
    x = layers.Add(name="add")([x, layers.Dense(96, name="other")(x)])
    x = layers.GlobalAveragePooling1D(name="pooled")(x)
    return keras.Model(entry, layers.Dense(5000, activation="softmax", name="words")(x), name="wide")


def unsigned():
    return keras.Sequential([keras.Input((LENGTH,), dtype="uint8"),
                             layers.Embedding(ROWS, WIDTH, mask_zero=True, name="embedding"),
                             layers.LSTM(3, name="lstm"), layers.Dense(1, name="out")],
                            name="unsigned")


def floating():
    """Floats all the way to the look-up."""
    return keras.Sequential([keras.Input((LENGTH,), dtype="float32"),
                             layers.Embedding(ROWS, WIDTH, name="embedding"),
                             layers.Flatten(name="flatten"), layers.Dense(1, name="out")],
                            name="floating")


def frozen():
    model = nested()
    model.get_layer("dense").trainable = False
    return model


def batches(kind, rows=48):
    random = np.random.default_rng(3)
    if kind is wide:
        return random.integers(0, 5000, (rows, 64), dtype=np.int32), random.integers(0, 5000, rows)
    dtype = {unsigned: np.uint8, floating: np.float32}.get(kind, np.int32)
    return (random.integers(0, ROWS, (rows, LENGTH)).astype(dtype),
            random.normal(size=(rows, 1)).astype(np.float32))


class ByHand(keras.Model):
    """Two optimizers in one step, the table in both; one of them takes its turn in a graph of its
    own; one variable that nobody is given."""

    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(ROWS, WIDTH, name="table")
        self.out = layers.Dense(1, name="out")
        self.idle = layers.Dense(1, name="idle")
        self.first = keras.optimizers.SGD(0.1)
        self.second = keras.optimizers.Adam(0.01)

    def call(self, inputs):
        x = tf.reduce_mean(self.table(inputs), 1)
        return self.out(x) + 0.0 * self.idle(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        table = self.table.trainable_variables
        self.first.apply(tape.gradient(loss, table), table)
        variables = [*table, *self.out.trainable_variables]
        grads = tape.gradient(loss, variables)
        tf.cond(loss >= 0, lambda: self._apply(grads, variables), lambda: tf.constant(0))
        return {"loss": loss}

    def _apply(self, grads, variables):
        self.second.apply(grads, variables)
        return tf.constant(0)


def by_hand():
    return ByHand()


OPTIMIZERS = {
    "adam": lambda: "adam",
    "clipped": lambda: keras.optimizers.SGD(0.05, momentum=0.9, global_clipnorm=0.1),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
    "accumulated": lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=2),
}


def watched(daemon, kind, by_operations, run, optimizer="adam", every=1, x=None, y=None, **named):
    """What TensorBoard shows, the weights, and the callback."""
    if x is None:
        x, y = batches(kind)
    keras.backend.clear_session()  # names begin anew
    keras.utils.set_random_seed(11)
    model = kind()
    model.compile(OPTIMIZERS[optimizer](),
                  loss="sparse_categorical_crossentropy" if kind is wide else "mse")
    watch = callback(daemon, run=run, every=every, **named)
    if not by_operations:
        watch._monitor.gate = lambda: None
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, validation_split=0.17,
              callbacks=[watch])
    model.predict(x[:8], verbose=0, callbacks=[watch])
    assert not watch._monitor.failed
    return recorded(daemon, watch, run), model.get_weights(), watch


def assert_same(ours, theirs):
    for kind in ("scalars", "histograms"):
        mine, other = getattr(ours, kind), getattr(theirs, kind)
        assert set(mine) - COSTS == set(other) - COSTS
        for tag in set(mine) - COSTS:
            assert [step for step, _ in mine[tag]] == [step for step, _ in other[tag]], tag
            for (_, a), (_, b) in zip(mine[tag], other[tag]):
                assert np.array_equal(a, b, equal_nan=True), tag


@pytest.mark.parametrize("kind", [*KINDS.values(), wide, unsigned, floating, frozen, by_hand],
                         ids=lambda x: x.__name__)
def test_all_kinds_of_models(daemon, kind):
    ours, weights, _ = watched(daemon, kind, True, "operations")
    theirs, same_weights, _ = watched(daemon, kind, False, "branches")
    assert "loss" in ours.scalars and len(ours.histograms) >= 6
    for a, b in zip(weights, same_weights, strict=True):
        assert a.tobytes() == b.tobytes()
    if kind is by_hand:  # a variable given to two: two updates of a step here, one there
        for run in (ours, theirs):
            for tag in [x for x in (*run.scalars, *run.histograms) if "update" in x]:
                run.scalars.pop(tag, None)
                run.histograms.pop(tag, None)
    assert_same(ours, theirs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_kinds_of_optimizers(daemon, optimizer):
    ours, *_ = watched(daemon, plain, True, "operations", optimizer)
    theirs, *_ = watched(daemon, plain, False, "branches", optimizer)
    assert any("updates/" in tag for tag in ours.histograms)
    assert_same(ours, theirs)


@pytest.mark.parametrize("signals", [("gradient",), ("activation",), ("ids",), ("update",),
                                     ("weight",), ()])
def test_one_signal_alone(daemon, signals):
    ours, *_ = watched(daemon, nested, True, "operations", signals=signals)
    theirs, *_ = watched(daemon, nested, False, "branches", signals=signals)
    assert_same(ours, theirs)


def functions():
    """{name: [kinds of operations]} of those that TensorFlow knows now and that have some of ours."""
    from tensorflow.python.eager import context

    found = {name: [node.op for node in context.context().get_function_def(name).node_def]
             for name in context.context().list_function_names()}
    return {name: ops for name, ops in found.items() if any(x.startswith("Embmon") for x in ops)}


def test_an_ordinary_model_has_no_branches(daemon):
    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.traced = [ops for name, ops in functions().items() if name not in before]

    before, look = functions(), Look()
    model, (x, y) = made(nested), data()
    watch = callback(daemon)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch, look])
    # The first trace, which makes the optimizer's variables, has branches of TensorFlow's own.
    ops = min(look.traced, key=len)
    assert ops.count("EmbmonPost") >= 6 and ops.count("EmbmonBefore") == 4
    assert ops.count("EmbmonTouched") == 4  # two tables: rows for weights, and for updates
    assert ops.count("EmbmonIds") == 4  # two tables, as fed and as they reach them
    assert not {"If", "StatelessIf", "PyFunc", "EagerPyFunc"} & set(ops)
    watch.close(20)


def nodes_of_a_step(model, x, y, callbacks, kind):
    """Of the graph with operations of this kind that fit() traces."""
    from tensorflow.python.eager import context

    known = set(context.context().list_function_names())
    model.fit(x, y, batch_size=8, verbose=0, callbacks=callbacks)
    made = [context.context().get_function_def(name).node_def
            for name in set(context.context().list_function_names()) - known]
    return next(x for x in made if any(node.op == kind for node in x))


def reads_of_what_is_scattered(model, x, y, callbacks):
    """How often a step's graph reads the variable whose rows it changes in place."""
    nodes = nodes_of_a_step(model, x, y, callbacks, "ResourceScatterSub")
    table = next(node.input[0] for node in nodes if node.op == "ResourceScatterSub")
    return sum(node.op == "ReadVariableOp" and node.input[0] == table for node in nodes)


@pytest.mark.parametrize("rows", [50, 3_000_000])
def test_a_table_is_not_read_whole(daemon, rows):
    """SGD changes its rows in place: from then on TensorFlow copies all of it for whoever reads it.
    Of a large one the weights are read in a branch."""
    def model():
        made = keras.Sequential([keras.Input((4,), dtype="int32"), layers.Embedding(rows, 8),
                                 layers.Flatten(), layers.Dense(1)])
        made.compile(keras.optimizers.SGD(0.1), loss="mse")
        return made

    random = np.random.default_rng(5)
    x, y = random.integers(0, rows, (96, 4), dtype=np.int32), random.normal(size=(96, 1))
    watch = callback(daemon, every=4)
    assert (reads_of_what_is_scattered(model(), x, y, [watch]) ==
            reads_of_what_is_scattered(model(), x, y, []))
    run = recorded(daemon, watch)
    for tag in ("updates/embedding", "weights/embedding"):
        found = next(x for x in run.histograms if x.startswith(tag))
        assert run.steps(found) == [0, 4, 8], tag


def test_large_gradients_are_posted_before_they_are_used(daemon):
    """So that nobody else holds them when the optimizer would change them in place."""
    model = keras.Sequential([keras.Input((32,)), layers.Dense(256, name="large"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    x, y = np.ones((16, 32), np.float32), np.ones((16, 1), np.float32)
    watch = callback(daemon)
    nodes = nodes_of_a_step(model, x, y, [watch], "EmbmonPost")
    posts = {node.name: node.input[0] for node in nodes
             if node.op == "EmbmonPost" and node.attr["signal"].i == 1}
    behind = {node.input[1][1:]: node.input[0] for node in nodes
              if node.op == "Identity" and len(node.input) == 2 and node.input[1][1:] in posts}
    assert len(posts) == 4 and len(behind) == 1  # 32 x 256 elements; 256, 256 and 1 are few
    for post, values in behind.items():
        assert values == posts[post]
        readers = [node.op for node in nodes if values in node.input]
        assert sorted(readers) == ["EmbmonPost", "Identity"]
    watch.close(20)


# ---- at a step that is not sampled

class Change(keras.callbacks.Callback):
    """Before the batch of this number."""

    def __init__(self, batch, what):
        super().__init__()
        self.batch, self.what = batch, what

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            self.what(self.model)


def alerts(daemon, run):
    return {(a["detector"], a["layer"], a["step"]) for a in daemon.alerts_file(run)
            if a["state"] == "firing"}


@pytest.mark.parametrize("by_operations", [True, False])
def test_a_lost_loss_says_where_it_came_from(daemon, by_operations):
    """At step 5 of those that are multiples of 8: all of that step, activations too, which are there
    before the loss is."""
    x, y = batches(plain, 96)
    y[5 * 8 + 3] = np.nan
    run, *_ = watched(daemon, plain, by_operations, "lost", every=8, x=x, y=y)
    assert run.steps("activations/hidden")[:2] == [0, 5]  # from then on they are NaN
    lost = {tag for tag, series in run.scalars.items()
            if tag.startswith("nonfinite/") and dict(series).get(5, 0) > 0}
    assert lost == {"nonfinite/embedding", "nonfinite/hidden", "nonfinite/out"}
    assert {name for name, *_ in alerts(daemon, "lost")} >= {"loss_nonfinite"}


@pytest.mark.parametrize("by_operations", [True, False])
def test_wrong_ids_are_posted_before_the_look_up(daemon, by_operations):
    x, y = batches(plain, 96)
    x[5 * 8 + 3, 1] = ROWS + 7
    model, watch = made(plain), callback(daemon, run="wrong", every=8)
    if not by_operations:
        watch._monitor.gate = lambda: None
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[watch])
    assert watch.close(20) == 0
    assert ("ids_out_of_range", "embedding", 5) in alerts(daemon, "wrong")


# ---- lives

def test_without_operations_there_are_branches(daemon, monkeypatch):
    """Of a TensorFlow that has not what they need."""
    import embmon._keras_probes

    monkeypatch.setattr(embmon._keras_probes, "is_available", lambda: False)
    run, *_ = watched(daemon, plain, True, "branches")
    assert run.steps("gradients/out/kernel") == list(range(10))


def test_a_graph_that_outlives_the_client(daemon):
    """The function that was traced is run after fit(), after the client was closed, and after all of
    it was collected: it trains, and posts nothing."""
    class Keep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.function = self.model.train_function

    keep = Keep()
    model, (x, y) = made(plain), data()
    watch = callback(daemon)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch, keep])

    def run_again():
        before = model.get_weights()
        batch = iter(tf.data.Dataset.from_tensor_slices((x, y)).batch(8))
        keep.function(batch)
        assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights()))

    produced = watch._monitor.client.stats().produced
    run_again()
    assert watch._monitor.client.stats().produced == produced
    assert watch.close(20) == 0
    run_again()
    del watch
    gc.collect()
    run_again()


def test_a_predict_of_the_users_own_while_a_step_is_open(daemon):
    """By a model that has the probes, in the middle of an epoch: it is no step of the training."""
    class Predict(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                self.model.predict(data()[0][:16], batch_size=4, verbose=0)

    model, (x, y) = made(plain), data()
    watch = callback(daemon)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch, Predict()])
    run = recorded(daemon, watch)
    assert run.steps("activations/out") == list(range(-(-len(x) // 8)))
    assert not any(tag.startswith("inference/") for tag in run.histograms)
    assert "tensorflow" in sys.modules
