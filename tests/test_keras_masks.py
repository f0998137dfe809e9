"""What becomes of a table's mask on its way, as the callback sees it in each layer, and what is said
where it does not come to a layer that would have used it."""

import numpy as np
import pytest

from keras_models import LENGTH, ROWS, WIDTH, callback, data, keras, layers, made, tf
from keras_spy import MODES, Spy, alerts_of

ops = keras.ops


def own(cls):
    return keras.saving.register_keras_serializable("embmon_masks")(cls)


@own
class Forgets(layers.Layer):
    def call(self, x):
        return x * 1.0


@own
class Keeps(Forgets):
    def __init__(self, **named):
        super().__init__(**named)
        self.supports_masking = True


@own
class TakesOff(Forgets):
    """As its author means it."""

    def compute_mask(self, inputs, previous_mask=None):
        return None


@own
class Mean(layers.Layer):
    """A mean of one's own."""

    def call(self, x, mask=None):
        there = ops.ones_like(x[..., :1]) if mask is None else ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * there, 1) / ops.sum(there, 1)


@own
class Block(layers.Layer):
    """Made of layers, and uses a mask that it passes on to none of them."""

    def __init__(self, **named):
        super().__init__(**named)
        self.dense, self.score = layers.Dense(4), layers.Dense(1)

    def call(self, x, mask=None):
        scores = self.score(self.dense(x))
        if mask is not None:
            scores += -1e9 * ops.cast(ops.logical_not(mask), scores.dtype)[..., None]
        return x * ops.softmax(scores, 1)


class Branch:
    """One of several in a model, each with a table of its own name; its layers' names begin so."""

    def __init__(self, name, entry):
        self.name, self.entry = name, entry

    def words(self, **named):
        return layers.Embedding(ROWS, WIDTH, mask_zero=True, name=self.name, **named)(self.entry)

    def __call__(self, layer, name, *arguments, **named):
        return layer(*arguments, name=f"{self.name}_{name}", **named)


def with_branches(branches):
    """A model of many."""
    def build():
        entry = keras.Input((LENGTH,), dtype="int32")
        ends = [branch(Branch(name, entry)) for name, branch in branches.items()]
        ends = [x if len(x.shape) == 2 else layers.Flatten()(x) for x in ends]
        return keras.Model(entry, layers.Dense(1, name="out")(layers.Concatenate(name="join")(ends)))

    return build


def padded():
    x, y = data(batches=2, short=0)
    x[:, 2:] = 0
    return x, y


def watched(daemon, build, x=None, mode="graph"):
    """({path: what became of the mask}, {detector: alerts}) of a training on padded sequences."""
    x, y = padded() if x is None else (x, np.ones((len(x), 1), "float32"))
    watch = callback(daemon)
    spy = Spy(watch)
    made(build, **MODES[mode]).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert not watch._monitor.failed
    return spy.masks, alerts_of(daemon, watch)


def said(alerts):
    """{table: (where its mask is lost, who misses it)}"""
    found = {}
    for alert in alerts["mask_mismatch"]:
        assert (alert["severity"], alert["phase"], alert["variable"]) == ("warning", "training", "")
        assert (alert["step"], alert["value"], alert["threshold"]) == (0, 16, 0)
        where, _, rest = alert["summary"].split(" is lost ", 1)[1].partition(", and ")
        assert alert["layer"] not in found
        found[alert["layer"]] = where, rest.split(", which", 1)[0]
    return found


# ---- lost on the way

def one(*between, last=lambda: layers.LSTM(3)):
    """Layers in a row, named layer1, layer2, ... and last."""
    def branch(b):
        x = b.words()
        for n, make in enumerate([*between, last], 1):
            layer = make()
            layer.name = f"{b.name}_{f'layer{n}' if n <= len(between) else 'last'}"
            x = layer(x)
        return x

    return branch


def by_arithmetic(b):
    x = b(layers.Dropout, "dropout", 0.1)(b.words())
    return b(layers.GlobalAveragePooling1D, "mean")(b(layers.Dense, "dense", 4)(x * 2.0))


def by_places(b):
    """Keras gives a sum no mask where one of what it adds has none."""
    places = np.arange(LENGTH * WIDTH, dtype="float32").reshape((1, LENGTH, WIDTH))
    x = b(layers.Add, "add")([b.words(), places])
    return b(layers.MultiHeadAttention, "attention", 2, 3)(x, x)


def inside_a_model(b):
    x = b.words()
    inner = keras.Model(b.entry, b(Forgets, "forgets")(x), name=f"{b.name}_inner")
    return b(layers.LSTM, "lstm", 3)(inner(b.entry))


def behind_a_model(b):
    entry = keras.Input((LENGTH, WIDTH))
    x = b(Forgets, "forgets")(entry)
    inner = keras.Model(entry, b(layers.LSTM, "lstm", 3)(x), name=f"{b.name}_inner")
    return inner(b.words())


def transformer(*blocks):
    """MultiHeadAttention takes the mask off what it is called with, so that the sum with that has
    none. The mean gets the model's own, the next attention gets none."""
    def branch(b):
        x = b.words()
        for n in blocks:
            seen = b(layers.MultiHeadAttention, f"attention{n}", 2, 3, dropout=0.1)(x, x)
            x = b(layers.LayerNormalization, f"norm{n}")(b(layers.Add, f"sum{n}")([x, seen]))
            more = layers.Dense(WIDTH)(layers.Dense(8, "gelu")(x))
            x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(0.1)(more)]))
        return layers.GlobalAveragePooling1D()(x)

    return branch


SICK = {
    "own": (one(Forgets), "in own_layer1", "own_last"),
    "lambda": (one(lambda: layers.Lambda(lambda x: x * 2.0)), "in lambda_layer1", "lambda_last"),
    "conv": (one(lambda: layers.Conv1D(4, 2), last=lambda: layers.GlobalAveragePooling1D()),
             "in conv_layer1", "conv_last"),
    "mean": (one(Keeps, Forgets, lambda: layers.Dropout(0.1), last=Mean),
             "in mean_layer2", "mean_last"),
    "first": (one(Forgets, Forgets), "in first_layer1", "first_last"),
    "later": (one(lambda: layers.LSTM(4, return_sequences=True), Forgets, lambda: layers.Dense(3)),
              "in later_layer2", "later_last"),
    "both": (one(Forgets, last=lambda: layers.Bidirectional(layers.GRU(3, name="gru"))),
             "in both_layer1", "both_last/forward_gru"),
    "block": (one(Forgets, last=Block), "in block_layer1", "block_last"),
    "arithmetic": (by_arithmetic, "behind arithmetic_dropout, in operations of no layer",
                   "arithmetic_mean"),
    "places": (by_places, "in places_add", "places_attention"),
    "deep": (transformer(1, 2), "in deep_sum1", "deep_attention2"),
    "inside": (inside_a_model, "in inside_inner/inside_forgets", "inside_lstm"),
    "behind": (behind_a_model, "in behind_inner/behind_forgets", "behind_inner/behind_lstm"),
}


def test_a_mask_that_is_lost_is_named_at_the_first_step(daemon):
    _, alerts = watched(daemon, with_branches({name: branch for name, (branch, *_) in SICK.items()}))
    assert said(alerts) == {f"{name}_inner/{name}" if name == "inside" else name: tuple(expected)
                            for name, (_, *expected) in SICK.items()}
    assert set(alerts) == {"mask_mismatch"}  # the padding's gradient is a consequence


class Residual(keras.Model):
    """MultiHeadAttention takes the mask off the tensor it is called with."""

    def __init__(self, adds):
        super().__init__(name="residual")
        self.words = layers.Embedding(ROWS, WIDTH, mask_zero=True, name="words")
        self.attention = layers.MultiHeadAttention(2, 3, name="attention")
        self.add = layers.Add(name="add") if adds else lambda both: both[0] + both[1]
        self.mean = layers.GlobalAveragePooling1D(name="mean")
        self.out = layers.Dense(1, name="out")

    def call(self, ids):
        x = self.words(ids)
        return self.out(self.mean(self.add([x, self.attention(x, x)])))


@pytest.mark.parametrize("adds, where", [(True, "in add"),
                                         (False, "behind words, in operations of no layer")])
def test_in_a_model_that_its_first_step_builds(daemon, adds, where):
    _, alerts = watched(daemon, lambda: Residual(adds))
    assert said(alerts) == {"words": (where, "mean")}


@pytest.mark.parametrize("mode", MODES)
def test_in_every_way_that_keras_runs_a_step(daemon, mode):
    facts, alerts = watched(daemon, with_branches({"own": SICK["own"][0]}), mode=mode)
    assert facts == {"own": "passed", "own_layer1": "lost", "own_last": "missed", "join": "none",
                     "out": "none"}
    assert set(alerts) == {"mask_mismatch"}
    assert said(alerts) == {"own": ("in own_layer1", "own_last")}


def test_validation_and_prediction_say_it_no_second_time(daemon):
    x, y = padded()
    watch = callback(daemon)
    model = made(with_branches({"own": SICK["own"][0]}))
    model.fit(x, y, batch_size=8, verbose=0, validation_data=(x, y), callbacks=[watch])
    model.predict(x, verbose=0, callbacks=[watch])
    assert said(alerts_of(daemon, watch)) == {"own": ("in own_layer1", "own_last")}


# ---- not lost, or not missed

def used_up(b):
    x = layers.RepeatVector(3)(layers.LSTM(4)(b.words()))
    return layers.LSTM(3)(layers.Dense(4)(x))


def handed_over(b):
    """By hand, past a layer that forgets it."""
    table = layers.Embedding(ROWS, WIDTH, mask_zero=True, name=b.name)
    return layers.LSTM(3)(Forgets()(table(b.entry)), mask=table.compute_mask(b.entry))


def asked_by_others(b):
    """The mask of what is attended to is used, and what asks has none."""
    asks = layers.Embedding(ROWS, WIDTH)(b.entry)
    x = layers.MultiHeadAttention(2, 3)(asks, b.words())
    return layers.GlobalAveragePooling1D()(layers.Dense(4)(x))


def two_tables(b):
    return layers.GRU(3)(layers.Concatenate()([
        b.words(), layers.Embedding(ROWS, 3, mask_zero=True, name=f"{b.name}_more")(b.entry)]))


def through_models(b):
    x = b.words()
    inner = keras.Model(b.entry, layers.Dropout(0.1)(x), name=f"{b.name}_inner")
    behind = keras.Sequential([keras.Input((LENGTH, WIDTH)), layers.Dense(4), layers.LSTM(3)],
                              name=f"{b.name}_behind")
    return behind(inner(b.entry))


QUIET = {
    "row": one(lambda: layers.LSTM(4, return_sequences=True), lambda: layers.LayerNormalization(),
               lambda: layers.TimeDistributed(layers.Dense(3)), last=lambda: layers.GRU(3)),
    "ways": one(lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
                lambda: layers.SpatialDropout1D(0.1), last=lambda: layers.Bidirectional(layers.GRU(3))),
    "mean": one(Keeps, last=Mean), "used": used_up, "handed": handed_over, "asked": asked_by_others,
    "shallow": transformer(1), "two": two_tables, "through": through_models,
}


def test_a_mask_that_comes_where_it_is_used_is_no_alert(daemon):
    _, alerts = watched(daemon, with_branches(QUIET))
    assert not alerts


def from_left_to_right(b):
    """What stands before is kept from the padding behind it."""
    x = Forgets()(b.words())
    return layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)


def attention_mask(b):
    x = Forgets()(b.words())
    return layers.MultiHeadAttention(2, 3)(x, x, attention_mask=ops.not_equal(b.entry, 0)[:, None, :])


def states_of_another(b):
    """Keras gives such a layer no mask, and its output one."""
    _, *states = layers.LSTM(4, return_state=True)(layers.Embedding(ROWS, 3)(b.entry))
    return layers.LSTM(4, return_sequences=True)(b.words(), initial_state=states)


# The padding takes part, but what would have used the mask has got one, or there is no such layer.
NOT_MISSED = {
    "flat": lambda b: b.words(),
    "greatest": one(lambda: layers.Conv1D(4, 2), lambda: layers.BatchNormalization(),
                    last=lambda: layers.GlobalMaxPooling1D()),
    "off": one(TakesOff), "again": one(Forgets, layers.Masking), "block": one(Block),
    "function": one(lambda: layers.Lambda(lambda x, mask=None: x * 2.0)),
    "causal": from_left_to_right, "attention": attention_mask, "states": states_of_another,
}


def test_a_mask_that_nobody_would_have_used_is_not_missed(daemon):
    _, alerts = watched(daemon, with_branches(NOT_MISSED))
    assert set(alerts) <= {"padding_row_gradient"}


class ByHand(keras.Model):
    """Whatever it does between, the mask is there where it counts."""

    def __init__(self):
        super().__init__(name="by_hand")
        self.words = layers.Embedding(ROWS, WIDTH, mask_zero=True, name="words")
        self.lstm = layers.LSTM(3)
        self.out = layers.Dense(1)

    def call(self, ids):
        x = tf.tanh(self.words(ids) * 2.0)
        return self.out(self.lstm(x, mask=tf.not_equal(ids, 0)))


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_a_mask_by_hand(daemon, mode):
    _, alerts = watched(daemon, ByHand, mode=mode)
    assert not alerts


def test_without_padding_there_is_nothing_to_lose(daemon):
    x, _ = data(batches=2, short=0)
    _, alerts = watched(daemon, with_branches({"own": SICK["own"][0]}), x)
    assert not alerts


def test_what_it_says_is_so(daemon):
    """As the hint has it: more padding, another answer; and set right, the same one, and no alert."""
    def build(layer):
        entry = keras.Input((None,), dtype="int32")
        x = layers.Embedding(ROWS, WIDTH, mask_zero=True, name="words")(entry)
        return keras.Model(entry, layers.Dense(1)(layers.LSTM(3, name="lstm")(layer(name="mine")(x))))

    x, y = padded()
    for run, layer in (("lost", Forgets), ("kept", Keeps)):
        watch = callback(daemon, run=run)
        model = made(lambda layer=layer: build(layer))
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
        assert watch.close(20) == 0
        longer = np.pad(x, ((0, 0), (0, 4)))
        same = np.allclose(model.predict(x, verbose=0), model.predict(longer, verbose=0), atol=1e-6)
        assert same == (run == "kept")
    assert daemon.stop() == 0
    found = {run: {a["detector"] for a in daemon.alerts_file(run) if a["state"] == "firing"}
             for run in ("lost", "kept")}
    assert "mask_mismatch" in found["lost"] and found["kept"] <= {"rows_dead"}
