"""What goes into embeddings, as the callback hands it over: the ids as fed and as looked up, in every
way that Keras runs a step, and what is said of ids that are wrong."""

import time

import numpy as np
import pytest

from keras_models import (LENGTH, ROWS, WIDTH, callback, data, keras, layers, made, masked, nested,
                          plain, recorded, tf)
from keras_spy import MODES, Spy, alerts_of


def fit(model, x, y, watch, **named):
    return model.fit(x, y, **({"batch_size": 8, "verbose": 0, "shuffle": False,
                               "callbacks": [watch]} | named))


# ---- what is posted

@pytest.mark.parametrize("mode", MODES)
def test_the_ids_of_every_step(daemon, mode):
    """As fed and as looked up, in training, validation and prediction, on both tables."""
    x, y = data(batches=3)
    watch = callback(daemon)
    spy = Spy(watch)
    model = made(nested, **MODES[mode])
    fit(model, x.astype("float32"), y, watch, validation_data=(x[:8], y[:8]))
    model.predict(x[:5], verbose=0, callbacks=[watch])
    expected = [(n, x[8 * n:8 * n + 8]) for n in range(4)] + [(0, x[:8]), (0, x[:5])]
    for path in ("inner_model/embedding", "inner_model/embedding_1"):
        for posts in (spy.ids, spy.fed):
            found = [(step, ids) for of, step, ids, *_ in posts if of == path]
            assert [step for step, _ in found] == [step for step, _ in expected]
            for (_, ours), (_, theirs) in zip(found, expected):
                assert np.array_equal(ours, theirs) and ours.shape == theirs.shape
    assert {ids.dtype.name for _, _, ids, *_ in spy.ids} == {"int32"}
    assert [ids.dtype.name for _, _, ids, _ in spy.fed] == ["float32"] * 8 + ["int32"] * 4
    assert {name for *_, name in spy.fed} == {model.input_names[0] if hasattr(model, "input_names")
                                              else model.inputs[0]._keras_history.operation.name}
    assert {length for *_, length in spy.ids} == {LENGTH}
    assert watch._monitor.client.stats().rejected == 0
    alerts = alerts_of(daemon, watch)
    assert set(alerts) == {"ids_dtype"}  # floats were fed


@pytest.mark.parametrize("mode", MODES)
def test_the_mask_goes_with_the_ids_and_on_to_the_next_layer(daemon, mode):
    def train(callbacks):
        x, y = data()
        x[:, 2:] = 0
        model = made(masked, **MODES[mode])
        history = model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=callbacks)
        return history.history["loss"], model.predict(x, verbose=0, callbacks=callbacks)

    watch = callback(daemon)
    spy = Spy(watch)
    loss, predicted = train([watch])
    assert len(spy.ids) == 5
    for _, _, ids, mask, _ in spy.ids:
        assert mask.dtype == bool and np.array_equal(mask, ids != 0)
    twin_loss, twin_predicted = train([])
    np.testing.assert_allclose(loss, twin_loss, rtol=1e-5 if mode == "compiled" else 0)
    np.testing.assert_allclose(predicted, twin_predicted, rtol=1e-5 if mode == "compiled" else 0)
    assert not alerts_of(daemon, watch)


def test_a_mask_that_is_not_the_padding(daemon):
    @keras.saving.register_keras_serializable("embmon_tests")
    class Late(layers.Embedding):
        def compute_mask(self, inputs, mask=None):
            return keras.ops.not_equal(inputs, 1)

    x, y = data()
    x[0, 0] = 1
    watch = callback(daemon)
    fit(made(lambda: keras.Sequential([
        keras.Input((LENGTH,), dtype="int32"), Late(ROWS, WIDTH, mask_zero=True, name="late"),
        layers.LSTM(3), layers.Dense(1)])), x, y, watch)
    (alert,) = alerts_of(daemon, watch)["mask_mismatch"]
    assert (alert["layer"], alert["step"]) == ("late", 0)


# ---- whose ids they are

class Parts(keras.Model):
    """Takes a dict; one table reads a column of a matrix, one what is cast and reshaped."""

    def __init__(self):
        super().__init__(name="parts")
        self.users = layers.Embedding(ROWS, WIDTH, name="users")
        self.items = layers.Embedding(ROWS, WIDTH, name="items")
        self.both = layers.Embedding(ROWS, WIDTH, name="both")
        self.out = layers.Dense(1, name="out")

    def call(self, inputs):
        pairs = tf.cast(inputs["pairs"], "int64")
        left = self.users(pairs[:, 0])
        right = self.items(tf.reshape(pairs, [-1, 2, 1])[:, 1, 0])
        hashed = self.both(tf.cast(inputs["pairs"], "int32")[:, 0] * 3 % ROWS)
        return self.out(left + right + hashed + self.users(tf.squeeze(inputs["one"], 1)))


@pytest.mark.parametrize("mode", ["graph", "compiled"])
def test_columns_casts_and_a_dict(daemon, mode):
    """What was fed is followed through casts, shapes and slices; not through arithmetic."""
    x, y = data()
    pairs, one = x[:, :2].astype("float32") + 0.5, x[:, 2:3].astype("int64")
    watch = callback(daemon)
    spy = Spy(watch)
    fit(made(Parts, **MODES[mode]), {"pairs": pairs, "one": one}, y, watch)
    first = {(path, name): ids for path, step, ids, name in spy.fed if step == 0}
    assert set(first) == {("users", "pairs"), ("items", "pairs"), ("users", "one")}
    assert np.array_equal(first["users", "pairs"], pairs[:8, 0])
    assert np.array_equal(first["items", "pairs"], pairs[:8, 1])
    assert np.array_equal(first["users", "one"], one[:8, 0])
    assert len([1 for path, step, *_ in spy.ids if step == 0]) == 4
    assert {n for *_, n in spy.ids} == {0}  # these are no sequences
    alerts = alerts_of(daemon, watch)["ids_dtype"]  # 1.5 looked up as 1
    assert {(a["layer"], a["severity"], a["step"]) for a in alerts} == {
        ("users", "critical", 0), ("items", "critical", 0)}


def test_names_of_inputs(daemon):
    def named():
        inputs = [keras.Input((1,), name="user"), keras.Input((1,), name="item")]
        parts = [layers.Flatten()(layers.Embedding(ROWS, WIDTH, name=f"{x.name}s")(x)) for x in inputs]
        return keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(parts)))

    x, y = data()
    for n, given in enumerate(([x[:, 0], x[:, 1:2]], {"item": x[:, 1], "user": x[:, 0]},
                               tf.data.Dataset.from_tensor_slices(((x[:, 0], x[:, 1]), y)).batch(8))):
        watch = callback(daemon, run=f"names{n}")
        spy = Spy(watch)
        model = made(named)
        if n < 2:
            fit(model, given, y, watch)
        else:
            model.fit(given, verbose=0, callbacks=[watch])
        assert {(path, name) for path, _, _, name in spy.fed} == {("users", "user"), ("items", "item")}
        assert {str(ids.dtype) for _, _, ids, _ in spy.fed} == {"int32"}
        assert {str(ids.dtype) for _, _, ids, *_ in spy.ids} == {"float32"}
        assert set(alerts_of(daemon, watch, f"names{n}")) <= {"ids_dtype"}
        daemon.start()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int64", "bool", "float16"])
def test_every_dtype_of_ids(daemon, dtype):
    x, y = data()
    x = (x % 2).astype(dtype)
    watch = callback(daemon)
    spy = Spy(watch)
    fit(made(lambda: keras.Sequential([layers.Embedding(ROWS, WIDTH), layers.Flatten(),
                                       layers.Dense(1)])), x, y, watch)
    assert [step for _, step, *_ in spy.ids] == [0, 1, 2, 3] and not watch._monitor.failed
    assert watch._monitor.client.stats().rejected == 0
    recorded(daemon, watch)


def test_what_is_no_lookup(daemon):
    """A tied table gives logits of floats; text is looked up in no table."""
    class Tied(keras.Model):
        def __init__(self):
            super().__init__(name="tied")
            self.words = layers.StringLookup(vocabulary=["a", "b"])
            self.table = layers.ReversibleEmbedding(3, WIDTH, name="table")

        def call(self, inputs):
            return tf.reduce_mean(self.table(self.table(self.words(inputs)), reverse=True), -1)

    watch = callback(daemon)
    spy = Spy(watch)
    fit(made(Tied), np.array(["a", "b", "c", "a"] * 4, object), np.zeros((16, 1)), watch)
    assert [(path, ids.tolist()) for path, _, ids, *_ in spy.ids] == [("table", [1, 2, 0, 1] * 2)] * 2
    assert not spy.fed
    assert not alerts_of(daemon, watch)


def test_signals_without_ids(daemon):
    x, y = data()
    watch = callback(daemon, signals=("gradient",))
    spy = Spy(watch)
    fit(made(nested), x, y, watch)
    assert not spy.ids and not spy.fed and spy.shapes
    recorded(daemon, watch)


def test_only_sampled_steps(daemon):
    x, y = data(batches=9)
    watch = callback(daemon, every=4, signals=("ids",))
    spy = Spy(watch)
    fit(made(plain), x, y, watch)
    assert [step for _, step, *_ in spy.ids] == [step for _, step, *_ in spy.fed] == [0, 4, 8]
    recorded(daemon, watch)


@pytest.mark.parametrize("mode", MODES)
def test_prediction_within_another_callback_is_not_ours(daemon, mode):
    x, y = data()

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.predict(x[:5], verbose=0)

    watch = callback(daemon)
    spy = Spy(watch)
    fit(made(plain, **MODES[mode]), x, y, watch, callbacks=[Look(), watch])
    assert [(step, len(ids)) for _, step, ids, *_ in spy.ids] == [(0, 8), (1, 8), (2, 8), (3, 3)]
    assert {phase for phase, *_ in spy.shapes} == {"training"}
    recorded(daemon, watch)


def test_a_step_function_of_the_users_own(daemon):
    """Under jit_compile=True ids come back with the results of Keras' own step function. What the
    user's own does with them is not known, so it is given its results alone."""
    class Own(keras.Model):
        def make_train_function(self, force=False):
            if self.train_function is None or force:
                step = tf.function(self.train_step, jit_compile=True)

                def function(iterator):
                    logs = step(next(iterator))
                    assert set(logs) == {"loss"}
                    return logs

                self.train_function = function

    def build():
        entry = keras.Input((LENGTH,), dtype="int32")
        return Own(entry, layers.Dense(1)(layers.Flatten()(layers.Embedding(ROWS, WIDTH)(entry))))

    x, y = data()
    watch = callback(daemon)
    spy = Spy(watch)
    fit(made(build, jit_compile=True), x, y, watch)
    assert not spy.ids and not watch._monitor.failed
    assert recorded(daemon, watch).steps("loss") == [0, 1, 2, 3]


# ---- what nobody else says, named at its first step

def one_table(dtype=None, rows=ROWS, pooled=False, mask_zero=False):
    def build():
        x = entry = keras.Input((LENGTH,), dtype=dtype)
        x = layers.Embedding(rows, WIDTH, mask_zero=mask_zero, name="embedding")(x)
        x = layers.GlobalAveragePooling1D()(x) if pooled else layers.Flatten()(x)
        return keras.Model(entry, layers.Dense(1)(x))

    return build


def spoiled(value, dtype="int32", batch=2):
    """Data with one value of another kind, in the batch of this number, and the labels."""
    x, y = data()
    x = x.astype(dtype)
    x[8 * batch + 3, 1] = value
    return x, y


def only(alerts, detector):
    """The one alert there is beside infos."""
    found = [a for changes in alerts.values() for a in changes if a["severity"] != "info"]
    assert [a["detector"] for a in found] == [detector], found
    return found[0]


@pytest.mark.parametrize("mode", MODES)
def test_minus_one_wraps_to_the_last_row(daemon, mode):
    watch = callback(daemon)
    fit(made(one_table("int32"), **MODES[mode]), *spoiled(-1), watch)
    alert = only(alerts_of(daemon, watch), "ids_out_of_range")
    assert (alert["step"], alert["severity"], alert["layer"]) == (2, "critical", "embedding")
    assert "-1" in alert["summary"]


@pytest.mark.parametrize("mode", MODES)
def test_a_fraction_is_cut(daemon, mode):
    watch = callback(daemon)
    fit(made(one_table(), **MODES[mode]), *spoiled(9.99, "float32"), watch)
    alerts = alerts_of(daemon, watch)["ids_dtype"]
    assert [(a["severity"], a["step"]) for a in alerts][-1] == ("critical", 2)
    assert "9.99" in alerts[-1]["summary"]


def test_xla_takes_the_last_row_instead(daemon):
    watch = callback(daemon)
    history = fit(made(one_table("int32"), jit_compile=True), *spoiled(ROWS + 7), watch)
    assert np.isfinite(history.history["loss"]).all()
    alert = only(alerts_of(daemon, watch), "ids_out_of_range")
    assert alert["step"] == 2 and str(ROWS + 7) in alert["summary"]


@pytest.mark.parametrize("mode", MODES)
def test_a_row_of_padding_and_an_average(daemon, mode):
    x, y = data()
    x[8 * 2 + 3] = 0
    watch = callback(daemon)
    history = fit(made(one_table("int32", pooled=True, mask_zero=True), **MODES[mode]), x, y, watch)
    assert np.isnan(history.history["loss"]).all()
    alerts = alerts_of(daemon, watch)
    (alert,) = alerts["sequence_empty"]
    assert (alert["step"], alert["severity"], alert["layer"]) == (2, "critical", "embedding")
    assert all(a["step"] >= 2 for changes in alerts.values() for a in changes
               if a["severity"] != "info")


def test_a_float_too_large_to_be_an_id(daemon):
    rows = 2 ** 24 + 8
    watch = callback(daemon, signals=("ids",))
    x, y = spoiled(2 ** 24 + 1, "int64")

    def build():  # a table of that many rows would take a gigabyte
        class Table(layers.Embedding):
            def build(self, input_shape=None):
                self.input_dim = 64
                super().build(input_shape)
                self.input_dim = rows

            def call(self, inputs):
                return super().call(tf.cast(inputs, "int32") % 64)

        entry = keras.Input((LENGTH,))
        return keras.Model(entry, layers.Dense(1)(layers.Flatten()(
            Table(rows, WIDTH, name="embedding")(entry))))

    fit(made(build), x, y, watch)
    alerts = alerts_of(daemon, watch)
    assert [(a["severity"], a["step"]) for a in alerts["ids_dtype"]][-1] == ("critical", 2)
    assert "16777216" in alerts["ids_dtype"][-1]["summary"].replace(",", "")


# ---- what TensorFlow says in its own way

@pytest.mark.parametrize("mode", ["graph", "eager", "several"])
@pytest.mark.parametrize("phase", ["training", "validation", "inference"])
def test_an_id_that_raises_is_named_before(daemon, capfd, mode, phase):
    """The exception is TensorFlow's own; the alert is on stderr when it arrives."""
    alerts = []
    watch = callback(daemon, on_alert=alerts.append)
    model = made(one_table("int32"), **MODES[mode])
    x, y = data()
    fit(model, x, y, watch)
    bad, _ = spoiled(4711, batch=1)
    began = time.monotonic()
    with pytest.raises(tf.errors.InvalidArgumentError, match="4711"):
        if phase == "training":
            fit(model, bad, y, watch)
        elif phase == "validation":
            model.evaluate(bad, y, batch_size=8, verbose=0, callbacks=[watch])
        else:
            model.predict(bad, batch_size=8, verbose=0, callbacks=[watch])
    assert time.monotonic() - began < 20
    found = [a for a in alerts if a.severity == "critical"]
    assert [(a.detector, a.phase, a.step) for a in found] == [
        ("ids_out_of_range", phase, 5 if phase == "training" else 1)]
    err = capfd.readouterr().err
    assert f"embmon: {found[0]}\n  {found[0].hint}" in err
    assert found[0].summary in watch.summary()
    watch.close(20)


@pytest.mark.parametrize("mode", ["graph", "eager", "several"])
def test_an_id_that_raises_between_the_sampled_steps_is_named_too(daemon, capfd, mode):
    """Step 5 of every 8: nothing else of it is posted, and the exception is TensorFlow's own."""
    alerts = []
    watch = callback(daemon, every=8, on_alert=alerts.append)
    x, y = data(batches=12)
    x[8 * 5 + 3, 1] = 4711
    with pytest.raises(tf.errors.InvalidArgumentError, match="4711") as raised:
        fit(made(one_table("int32"), **MODES[mode]), x, y, watch)
    with pytest.raises(tf.errors.InvalidArgumentError, match="4711") as plain_raised:
        made(one_table("int32"), **MODES[mode]).fit(x, y, batch_size=8, verbose=0, shuffle=False)
    assert type(raised.value) is type(plain_raised.value)
    ours, theirs = ([line for line in str(x.value).splitlines() if "is not in" in line]
                    for x in (raised, plain_raised))
    assert ours == theirs and ours
    found = [(a.detector, a.phase, a.step) for a in alerts if a.severity == "critical"]
    assert found == [("ids_out_of_range", "training", 5)]
    assert "sequence 3, place 1" in alerts[-1].summary
    assert f"embmon: {alerts[-1]}" in capfd.readouterr().err
    run = recorded(daemon, watch)
    assert run.steps("loss") == run.steps("gradients/embedding") == [0]


@pytest.mark.parametrize("mode", ["graph", "eager", "several"])
@pytest.mark.parametrize("value, dtype", [(-1, "int32"), (-1, "int64"), (ROWS, None)])
def test_between_the_sampled_steps_only_ids_that_are_wrong_are_posted(daemon, mode, value, dtype):
    """Also where the Input makes floats of them; -1 raises nowhere."""
    watch = callback(daemon, every=8, ignore=["rows_dead", "rows_moved_untouched"])
    spy = Spy(watch)
    x, y = data(batches=8)
    x = x.astype(dtype or "int32")
    x[8 * 5 + 3, 1] = value
    model = made(one_table(dtype), **MODES[mode])
    if value == ROWS:
        with pytest.raises(tf.errors.InvalidArgumentError):
            fit(model, x, y, watch)
    else:
        fit(model, x, y, watch)
    for posts in (spy.ids, spy.fed):  # the alert asks for those of the next steps
        assert [step for _, step, *_ in posts if step < 6] == [0, 5]
    assert watch._monitor.client.stats().rejected == 0
    alerts = alerts_of(daemon, watch)["ids_out_of_range"]
    assert [a["step"] for a in alerts] == [5] and str(value) in alerts[0]["summary"]


def test_the_look_at_ids_sees_what_is_wrong():
    from embmon._keras_ids import some_wrong

    def wrong(dtype, values, rows=100):
        return bool(tf.function(lambda x: some_wrong(x, rows))(tf.constant(values, dtype)))

    for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        assert not wrong(dtype, [0, 99]) and wrong(dtype, [0, 100]), dtype
        assert not wrong(dtype, []) and not wrong(dtype, [0, 100], rows=10**12), dtype
        if dtype[0] == "i":
            assert wrong(dtype, [-1]) and wrong(dtype, [-1], rows=300), dtype
            assert wrong(dtype, [-1], rows=10**12), dtype
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        assert not wrong(dtype, [0, 99]) and not wrong(dtype, []) and not wrong(dtype, [7], 10**12)
        for value in (100, -1, 1.5, float("nan"), float("inf"), -float("inf")):
            assert wrong(dtype, [3, value]), (dtype, value)
    assert not wrong("bool", [True])


def test_ids_of_another_phase_are_not_posted_as_the_open_step(daemon):
    """The user predicts between the steps of a training: his ids are wrong, training's are not."""
    class Predicts(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                wrong = np.full((8, LENGTH), -1, "int32")
                self.model.predict(wrong, verbose=0)

    watch = callback(daemon, every=8)
    spy = Spy(watch)
    x, y = data(batches=4)
    fit(made(one_table("int32")), x, y, watch, callbacks=[watch, Predicts()])
    assert [step for _, step, *_ in spy.ids] == [0]
    assert not alerts_of(daemon, watch)


def test_the_look_up_is_what_raises(daemon):
    """Not our own reading of the rows that are about to change."""
    for _ in range(4):
        x, y = data()
        x[11] = ROWS
        model = made(plain)
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            fit(model, x, y, callback(daemon))
        text = str(raised.value)
        assert "_keras_trace" not in text
        assert "/embedding" in text.split("Detected at node", 1)[1].splitlines()[0] or \
            "functional" in text


def test_an_exception_waits_only_for_a_daemon_that_is_there(daemon):
    """And then 0.2 s at most."""
    class Mine(Exception):
        pass

    def fails(_):
        raise Mine("mine")

    from embmon._keras_functions import Functions
    for connected, low, high in ((True, 0.15, 2.0), (False, 0.0, 0.1)):
        watch = callback(daemon if connected else type("Nobody", (), {"socket": "/nonexistent/s"}))
        if connected:
            watch._monitor.start()
            watch._monitor.begin("training")
            watch._monitor.finish()
            deadline = time.monotonic() + 20
            while not watch.connected and time.monotonic() < deadline:
                time.sleep(0.01)
        functions = Functions(watch._monitor, None, {"training"})
        began = time.monotonic()
        with pytest.raises(Mine, match="^mine$"):
            functions._wrap(fails, "training")(None)
        assert low <= time.monotonic() - began < high
        watch.close(0)
