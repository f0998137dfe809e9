"""What the callback records is what tf.GradientTape gives on the same batches."""

import numpy as np
import pytest

from keras_models import (LENGTH, ROWS, WIDTH, Keeper, Tape, assert_norms, callback, convolved,
                          counts_between, data, keras, layers, made, masked, nested, plain, recorded,
                          subclassed, tf, tower)
from embmon._keras_paths import walk


def fit(daemon, model, epochs=1, size=8, x=None, y=None, run="run"):
    """Fits with the callback and the tape; (what was recorded, the tape)."""
    if x is None:
        x, y = data()
    watch, tape = callback(daemon, run), Tape(x, y, size)
    model.fit(x, y, batch_size=size, epochs=epochs, verbose=0, shuffle=False,
              callbacks=[watch, tape])
    return recorded(daemon, watch, run), tape


def test_nested_paths_and_norms(daemon):
    model = made(nested)
    run, tape = fit(daemon, model, epochs=2)
    inner = model.get_layer("inner_model")
    for path, layer in (("inner_model/embedding", inner.get_layer("embedding")),
                        ("inner_model/embedding_1", inner.get_layer("embedding_1")),
                        ("dense", model.get_layer("dense")), ("dense_1", model.get_layer("dense_1"))):
        assert_norms(run.scalars[f"gradient_norm/{path}"], tape.norms(*layer.trainable_variables))
    assert {t for t in run.histograms if t.startswith("gradients/")} == {
        "gradients/inner_model/embedding", "gradients/inner_model/embedding_1",
        "gradients/dense/kernel", "gradients/dense/bias", "gradients/dense_1/kernel",
        "gradients/dense_1/bias"}
    assert {t for t in run.histograms if t.startswith("activations/")} == {
        f"activations/{p}" for p in ("inner_model/embedding", "inner_model/embedding_1",
                                     "inner_model/concatenate", "flatten", "dense", "dense_1")}
    assert [v for _, v in run.scalars["batch_size"]] == [8, 8, 8, 3] * 2
    np.testing.assert_allclose([v for _, v in run.scalars["learning_rate"]], 1e-3, rtol=1e-6)


@pytest.mark.parametrize("build", [masked, convolved, subclassed], ids=lambda b: b.__name__)
def test_model_norms_of_other_kinds(daemon, build):
    """The norm over all layers misses nothing. (No dropout: the tape would draw its own.)"""
    model = made(build)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    run, tape = fit(daemon, model)
    assert_norms(run.scalars["gradient_norm/all"], tape.norms(*model.trainable_variables))


def test_paths_of_wrappers_and_cells(daemon):
    x, y = data()
    watch = callback(daemon)
    made(convolved).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert watch.close(20) == 0
    known = daemon.ask("layers", "run")
    run = recorded(daemon, watch)
    variables = {t[len("gradients/"):] for t in run.histograms if t.startswith("gradients/")}
    gru = {f"bidirectional/{way}_gru/{v}" for way in ("forward", "backward")
           for v in ("kernel", "recurrent_kernel", "bias")}
    heads = {f"attention/{part}/{v}" for part in ("query", "key", "value", "attention_output")
             for v in ("kernel", "bias")}
    assert variables == gru | heads | {
        "embedding", "conv/kernel", "conv/bias", "over_time/inner/kernel", "over_time/inner/bias",
        "norm/gamma", "norm/beta", "out/kernel", "out/bias"}
    outputs = {t[len("activations/"):] for t in run.histograms if t.startswith("activations/")}
    assert {"over_time/inner", "bidirectional/forward_gru", "attention/query", "conv"} <= outputs
    kinds = {x["layer"]: x["kind"] for x in known}
    assert kinds["embedding"] == "embedding" and kinds["conv"] == "conv" and kinds["norm"] == "norm"
    assert kinds["bidirectional/forward_gru"] == "recurrent" and kinds["over_time/inner"] == "dense"
    order = [x["layer"] for x in known]
    assert order[0] == "embedding"
    assert order.index("conv") < order.index("over_time/inner") < order.index("attention/query") \
        < order.index("norm") < order.index("out")


def test_subclassed_layers_made_by_the_first_call(daemon):
    run, _ = fit(daemon, made(subclassed))
    variables = {t[len("gradients/"):] for t in run.histograms if t.startswith("gradients/")}
    assert variables == {"table", "tower/kernel", "tower/bias", "tower.2/kernel", "tower.2/bias",
                         "late/kernel", "late/bias", "out/kernel", "out/bias", "subclassed/scale"}
    assert run.steps("activations/table") == [0, 1, 2, 3]
    assert run.steps("activations/late") == [1, 2, 3]  # it had no probe before it was made


def test_two_inner_models_with_equal_names_and_deeper_nesting(daemon):
    def build():
        left, right = tower("left"), tower("right")
        entry = keras.Input((LENGTH,), dtype="int32")
        middle = keras.Model(entry, layers.Add(name="add")([left(entry), right(entry)]), name="middle")
        outer = keras.Input((LENGTH,), dtype="int32")
        return keras.Model(outer, layers.Dense(1, name="out")(middle(outer)))

    model = made(build)
    run, tape = fit(daemon, model)
    for side in ("left", "right"):
        inner = model.get_layer("middle").get_layer(side)
        table, dense = inner.get_layer("embedding"), inner.get_layer("dense")
        assert_norms(run.scalars[f"gradient_norm/middle/{side}/embedding"],
                     tape.norms(*table.trainable_variables))
        assert_norms(run.scalars[f"gradient_norm/middle/{side}/dense"],
                     tape.norms(*dense.trainable_variables))


def test_shared_and_tied_layers(daemon):
    """A shared layer has one path, the first in Keras' order; so has a tied variable."""
    class Head(layers.Layer):
        def __init__(self, table, **named):
            super().__init__(**named)
            self.table = table

        def call(self, x):
            return x @ tf.transpose(self.table.embeddings)

    def build():
        shared = layers.Embedding(ROWS, WIDTH, name="shared")
        dense = layers.Dense(WIDTH, name="dense")
        entry = keras.Input((LENGTH,), dtype="int32")
        inner = keras.Model(entry, dense(shared(entry)), name="inner")
        outer = keras.Input((LENGTH,), dtype="int32")
        x = layers.Add(name="add")([inner(outer), dense(shared(outer))])
        x = Head(shared, name="head")(x)
        return keras.Model(outer, layers.Dense(1, name="out")(layers.Flatten(name="flatten")(x)))

    model = made(build)
    run, tape = fit(daemon, model)
    gradients = {t for t in run.scalars if t.startswith("gradient_norm/")}
    assert gradients == {"gradient_norm/all", "gradient_norm/shared",
                         "gradient_norm/inner/dense", "gradient_norm/out"}
    shared = model.get_layer("inner").get_layer("shared")
    dense = model.get_layer("inner").get_layer("dense")
    assert_norms(run.scalars["gradient_norm/shared"], tape.norms(shared.embeddings))
    assert_norms(run.scalars["gradient_norm/inner/dense"], tape.norms(dense.kernel, dense.bias))
    _, histogram = run.histograms["activations/shared"][0]
    assert histogram[:, 2].sum() == 2 * 8 * LENGTH * WIDTH  # it is called twice


def test_a_table_that_another_layer_has_as_its_matrix_is_tied():
    class Head(layers.Layer):
        def __init__(self, matrix, **named):
            super().__init__(**named)
            self.matrix = matrix

        def call(self, x):
            return x @ tf.transpose(self.matrix)

    ids = keras.Input((LENGTH,), dtype="int32")
    table, other = layers.Embedding(ROWS, WIDTH, name="table"), layers.Embedding(ROWS, WIDTH, name="other")
    x = layers.Add()([table(ids), other(ids)])
    model = keras.Model(ids, Head(table.embeddings, name="head")(x))
    found = {entry.path: entry for entry in walk(model)}
    assert {path for path, entry in found.items() if entry.tied} == {"table"}
    assert found["head"].variables == []


def article():
    """The inner model of the article, as it is written there."""
    first = keras.Input(shape=(1,), name="input1")
    x = layers.Flatten()(layers.Embedding(10000, 50)(first))
    second = keras.Input(shape=(1,), name="input2")
    y = layers.Flatten()(layers.Embedding(5000, 30)(second))
    merged = layers.concatenate([x, y])
    dense = layers.Dense(64, activation="relu")(merged)
    return keras.Model([first, second], layers.Dense(1, activation="sigmoid")(dense))


def article_data(rows):
    random = np.random.default_rng(5)
    return ([random.integers(0, 10000, (rows, 1)), random.integers(0, 5000, (rows, 1))],
            random.integers(0, 2, (rows, 1)).astype("float32"))


@pytest.mark.timeout(300)
def test_the_articles_model_for_512_steps(daemon):
    model = made(lambda: article(), loss="binary_crossentropy", metrics=["accuracy"])
    x, y = article_data(16 * 32)
    run, tape = fit(daemon, model, epochs=32, size=32, x=x, y=y)
    assert len(tape.squares) == 512
    names = [layer.name for layer in model.layers if layer.trainable_variables]
    assert names == ["embedding", "embedding_1", "dense", "dense_1"]
    for name in names:
        expected = tape.norms(*model.get_layer(name).trainable_variables)
        # 512 points is what a tag may have before two steps share one.
        steps = [step for step, _ in run.scalars[f"gradient_norm/{name}"]]
        assert steps == list(range(512)), name
        np.testing.assert_allclose([v for _, v in run.scalars[f"gradient_norm/{name}"]], expected,
                                   rtol=1e-5)
        assert f"activations/{name}" in run.histograms


def test_the_articles_model_within_another(daemon):
    def build():
        inner = article()
        inner.name = "inner_model"
        a, b = keras.Input((1,)), keras.Input((1,))
        return keras.Model([a, b], layers.Dense(1, name="outer_dense")(inner([a, b])))

    model = made(build)
    x, y = article_data(64)
    run, tape = fit(daemon, model, size=16, x=x, y=y)
    for name in ("embedding", "embedding_1"):
        table = model.get_layer("inner_model").get_layer(name)
        assert_norms(run.scalars[f"gradient_norm/inner_model/{name}"], tape.norms(table.embeddings))
        assert f"activations/inner_model/{name}" in run.histograms


def test_histograms_to_the_last_count(daemon):
    """Every recorded bucket holds as many gradients as the optimizer was given in its range."""
    keeper = Keeper(0.1)
    keeper.kept = []
    model = made(nested, optimizer=keeper)
    run, _ = fit(daemon, model)
    assert len(keeper.kept) == 4
    tags = {"embedding/embeddings": "inner_model/embedding",
            "embedding_1/embeddings": "inner_model/embedding_1"}
    for step, grads in enumerate(keeper.kept):
        for path, values in grads.items():
            if path in tags:  # statistics are of the rows that were touched
                values = values[np.abs(values).sum(1) > 0]
            found_step, histogram = run.histograms[f"gradients/{tags.get(path, path)}"][step]
            assert found_step == step
            assert [int(c) for c in histogram[:, 2]] == counts_between(values, histogram), path
            assert histogram[:, 2].sum() == values.size


def test_weights_and_updates(daemon):
    """Weights are those before the update; updates are the differences, of a table its touched
    rows."""
    x, y = data()
    model = made(plain, optimizer=keras.optimizers.SGD(0.05))
    seen = []

    class Weights(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append([v.numpy() for v in self.model.trainable_variables])

    watch = callback(daemon)
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch, Weights()])
    seen.append([v.numpy() for v in model.trainable_variables])
    run = recorded(daemon, watch)
    names = ["embedding", "hidden/kernel", "hidden/bias", "out/kernel", "out/bias"]
    for step in range(4):
        for n, name in enumerate(names):
            before, after = seen[step][n], seen[step + 1][n]
            _, weights = run.histograms[f"weights/{name}"][step]
            assert [int(c) for c in weights[:, 2]] == counts_between(before, weights), name
            change = after - before
            if name == "embedding":
                change = change[np.abs(change).sum(1) > 0]
            _, update = run.histograms[f"updates/{name}"][step]
            assert [int(c) for c in update[:, 2]] == counts_between(change, update), name


def test_clipping_is_seen_from_before(daemon):
    for n, clip in enumerate(({"clipnorm": 1e-4}, {"global_clipnorm": 1e-4}, {"clipvalue": 1e-5})):
        model = made(nested, optimizer=keras.optimizers.SGD(0.1, **clip))
        found, tape = fit(daemon, model, run=f"clip{n}")
        assert_norms(found.scalars["gradient_norm/all"], tape.norms(*model.trainable_variables))


def test_loss_scaling_by_a_wrapper(daemon):
    """Gradients are divided by the dynamic scale."""
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1024.0,
                                                    dynamic_growth_steps=2)
    model = made(nested, optimizer=optimizer)
    run, tape = fit(daemon, model)
    assert_norms(run.scalars["gradient_norm/all"], tape.norms(*model.trainable_variables))
    np.testing.assert_allclose([v for _, v in run.scalars["learning_rate"]], 0.1, rtol=1e-6)
    assert float(optimizer.dynamic_scale) == 4096.0  # it grew on the way


def test_loss_scaling_by_a_factor(daemon):
    """Keras itself cannot divide IndexedSlices by it, so without an embedding."""
    def build():
        return keras.Sequential([keras.Input((LENGTH,)), layers.Dense(3, name="dense"),
                                 layers.Dense(1, name="out")])

    model = made(build, optimizer=keras.optimizers.SGD(1e-4, loss_scale_factor=64.0))
    run, tape = fit(daemon, model)
    assert_norms(run.scalars["gradient_norm/all"], tape.norms(*model.trainable_variables))


def test_class_weight(daemon):
    x, y = data()
    model = made(plain, loss="binary_crossentropy")
    watch, tape = callback(daemon), Tape(x, y, 8, weights=np.where(y > 0, 3.0, 0.5).astype("float32"))
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, class_weight={0: 0.5, 1: 3.0},
              callbacks=[watch, tape])
    run = recorded(daemon, watch)
    assert_norms(run.scalars["gradient_norm/all"], tape.norms(*model.trainable_variables))


def test_gradient_accumulation(daemon):
    """Each batch is a step; nothing changes at those between, and no update is posted for them."""
    model = made(plain, optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    run, tape = fit(daemon, model)
    assert_norms(run.scalars["gradient_norm/all"], tape.norms(*model.trainable_variables))
    assert run.steps("updates/out/kernel") == [1, 3]
    assert run.steps("weights/out/kernel") == [0, 1, 2, 3]


def test_the_loss_of_each_step(daemon):
    """Not Keras' running mean."""
    x, y = data()
    model = made(plain, optimizer=keras.optimizers.SGD(0.3))
    expected = []

    class Losses(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rows = slice(batch * 8, (batch + 1) * 8)
            expected.append(float(np.mean((self.model(x[rows]).numpy() - y[rows]) ** 2)))

    watch = callback(daemon)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=[watch, Losses()])
    run = recorded(daemon, watch)
    np.testing.assert_allclose([v for _, v in run.scalars["loss"]], expected, rtol=1e-5)
