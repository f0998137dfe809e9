"""The models, each a function of a Kit: the data and an unfinished functional model, with the places
where a fault can be put in."""
import dataclasses

import keras
import numpy as np
from keras import layers

import verdicts.data as data
import verdicts.faults as faults


@dataclasses.dataclass
class Job:
    """inputs, outputs: of the functional model; x: a list. rows: of the table that each of x is for.
    ids, numbers: which of x holds them. mean: near what the output should start."""

    inputs: list
    outputs: object
    x: list
    y: np.ndarray
    loss: object
    rows: list
    ids: int = 0
    numbers: int | None = None
    subclass: object = None  # instead of inputs and outputs: function of the base class
    bucketed: bool = False  # batches of texts of about one length, padded to the longest


def squared(y, p):
    return keras.ops.square(p - y)


def cross_entropy(y, p):
    """Of a logit."""
    return keras.ops.relu(p) - y * p + keras.ops.log1p(keras.ops.exp(-keras.ops.abs(p)))


def hinge(y, p):
    """p: how much better the good one is than the bad one."""
    return keras.ops.relu(1 - p)


class Kit:
    """What the models are made with; knows the fault."""

    def __init__(self, model, seed, fault):
        self.model, self.seed, self.fault = model, seed, fault
        self.options = model.options

    def option(self, name, usual):
        return self.options.get(name, usual)

    def input(self, length=1, dtype=None):
        return keras.Input((length,), dtype=dtype or self.option("input", "int32"))

    def table(self, ids, rows, width, **named):
        if self.fault == "zero_tables":
            named["embeddings_initializer"] = "zeros"
        if self.fault == "bf16_step":  # none so small that a step shows
            named["embeddings_initializer"] = keras.initializers.RandomUniform(0.5, 1.5)
        if self.fault == "id_from_1":
            rows -= 1
        named.setdefault("trainable", not (self.option("frozen", False) or self.option("unfreeze", False)))
        if self.fault == "rows_unused":
            rows *= 3
        vectors = layers.Embedding(rows, width, **named)(ids)
        return layers.Rescaling(1e-6)(vectors) if self.fault == "scaled_down" else vectors

    def trunk(self, x):
        """What stands before the output."""
        return faults.TRUNKS.get(self.fault, lambda x: x)(x)

    def output(self, x, mean=0.0):
        activation = "hard_sigmoid" if self.fault == "log_0" else None
        return layers.Dense(1, activation, bias_initializer=keras.initializers.Constant(mean))(
            self.trunk(x))

    def loss(self, usual):
        usual = faults.LOSSES.get(self.fault, usual)
        return faults.wrong_sign(usual) if self.fault == "sign" else usual


def _flat(x):
    return layers.Flatten()(x)


def recommender(kit):
    """An inner model with two tables; stars."""
    users, movies, stars = data.ratings(kit.seed)
    user, movie = kit.input(), kit.input()
    merged = layers.Concatenate()([
        _flat(kit.table(user, data.USERS, kit.option("width", 50))),
        _flat(kit.table(movie, data.MOVIES, kit.option("width", 30)))])
    hidden = layers.Dense(64, "relu")(merged)
    inner = keras.Model([user, movie], hidden, name="inner_model")
    inputs = [kit.input(), kit.input()]
    outputs = kit.output(inner(inputs), 0.6 if kit.fault == "log_0" else 3.5)
    if kit.fault == "log_0":
        stars = (stars - 1) / 4
    return Job(inputs, outputs, [users, movies], stars, kit.loss(squared), [data.USERS, data.MOVIES])


def factors(kit):
    """Matrix factorisation: the product of two tables, and a bias of each user and movie."""
    users, movies, stars = data.ratings(kit.seed)
    inputs = user, movie = [kit.input(), kit.input()]
    width = kit.option("width", 16)
    start = keras.initializers.RandomNormal(stddev=0.1)
    product = layers.Dot(1)([
        _flat(kit.table(user, data.USERS, width, embeddings_initializer=start)),
        _flat(kit.table(movie, data.MOVIES, width, embeddings_initializer=start))])
    if kit.option("bias", True):
        product = layers.Add()([product, _flat(kit.table(user, data.USERS, 1)),
                                _flat(kit.table(movie, data.MOVIES, 1))])
    if kit.option("centred", True):
        stars = stars - 3.5
    return Job(inputs, product, [users, movies], stars, kit.loss(squared), [data.USERS, data.MOVIES])


def towers(kit):
    """Two deep towers, with or without normalisation, and their product."""
    users, movies, stars = data.ratings(kit.seed)
    inputs = [kit.input(), kit.input()]
    sides = []
    for side, rows in zip(inputs, (data.USERS, data.MOVIES)):
        x = _flat(kit.table(side, rows, 32))
        for _ in range(kit.option("depth", 4)):
            x = layers.Dense(32, None if kit.option("norm", True) else "relu",
                             kernel_initializer="he_normal")(x)
            if kit.option("norm", True):
                x = layers.ReLU()(layers.BatchNormalization()(x))
        sides.append(layers.Dense(16)(x))
    merged = layers.Concatenate()([*sides, layers.Multiply()(sides)])
    return Job(inputs, kit.output(merged, 3.5), [users, movies], stars, kit.loss(squared),
               [data.USERS, data.MOVIES])


WORDS, LENGTH = 4000, 24


def _text(kit):
    words, length = kit.option("words", WORDS), kit.option("length", LENGTH)
    x, y = data.reviews(kit.seed, words, length)
    if kit.fault == "length_drift":
        x[:, length // 3:] = 0
    return kit.input(None if kit.option("any_length", False) else length), x, y, words


def _text_job(kit, ids, hidden, x, y, words):
    mean = 0.82 if kit.fault == "log_0" else 1.5  # four of five recommend
    return Job([ids], kit.output(hidden, mean), [x], y, kit.loss(cross_entropy), [words])


def bag(kit):
    """The mean of a review's words."""
    ids, x, y, words = _text(kit)
    hidden = kit.table(ids, words, kit.option("width", 32), mask_zero=kit.fault != "pool_0")
    hidden = faults.Average()(hidden, ids) if kit.fault == "pool_0" else \
        layers.GlobalAveragePooling1D()(hidden)
    return _text_job(kit, ids, layers.Dense(32, "relu")(hidden), x, y, words)


def textcnn(kit):
    """Convolutions of three widths, and the greatest of each. Padding is a word like others."""
    ids, x, y, words = _text(kit)
    vectors = kit.table(ids, words, 24, mask_zero=kit.fault == "padding_row")
    found = [layers.GlobalMaxPooling1D()(layers.Conv1D(16, width, activation="relu")(vectors))
             for width in (2, 3, 4)]
    hidden = layers.Dropout(0.2)(layers.Concatenate()(found))
    return _text_job(kit, ids, hidden, x, y, words)


def recurrent(kit):
    """GRU or LSTM over the words."""
    ids, x, y, words = _text(kit)
    vectors = kit.table(ids, words, 24, mask_zero=True)
    if kit.fault == "mask_lost":
        vectors = faults.Forgets()(vectors)
    layer = {"gru": layers.GRU, "lstm": layers.LSTM}[kit.option("cell", "gru")]
    unit = layer(16, unroll=False)
    hidden = layers.Bidirectional(unit)(vectors) if kit.option("both", False) else unit(vectors)
    return _text_job(kit, ids, hidden, x, y, words)


class Positions(layers.Layer):
    """Adds a vector for each place."""

    def __init__(self, length, width, **named):
        super().__init__(**named)
        self.supports_masking = True
        self.places = layers.Embedding(length, width, name="places")
        self.length = length

    def call(self, x):
        return x + self.places(keras.ops.arange(self.length))


def transformer(kit):
    """One block of attention."""
    ids, x, y, words = _text(kit)
    length = kit.option("length", LENGTH)
    vectors = Positions(length, 24)(kit.table(ids, words, 24, mask_zero=True))
    seen = layers.MultiHeadAttention(2, 12)(vectors, vectors)
    vectors = layers.LayerNormalization()(layers.Add()([vectors, seen]))
    more = layers.Dense(24)(layers.Dense(48, "gelu")(vectors))
    vectors = layers.LayerNormalization()(layers.Add()([vectors, more]))
    return _text_job(kit, ids, layers.GlobalAveragePooling1D()(vectors), x, y, words)


def categories(kit):
    """A census: eight tables of 2 to 42 rows, and numbers."""
    ids, numbers, y, sizes = data.incomes(kit.seed)
    inputs = [*(kit.input() for _ in sizes), kit.input(4, "float32")]
    merged = layers.Concatenate()([*(
        _flat(kit.table(i, rows, kit.option("width", 4))) for i, rows in zip(inputs, sizes)),
        inputs[-1]])
    hidden = layers.Dense(32, "relu")(layers.Dense(64, "relu")(merged))
    mean = 0.24 if kit.fault == "log_0" else -1.1
    return Job(inputs, kit.output(hidden, mean), [*ids, numbers], y, kit.loss(cross_entropy),
               [*sizes, 0], ids=3, numbers=len(sizes))


def clicks(kit):
    """Generated: tables of very different sizes, most rows of the large ones never seen."""
    sizes = kit.option("tables", (10, 1000, 30_000, 200_000))
    rare = kit.option("rare", 0.0)
    x, y = data.clicks(kit.seed, sizes, 80_000, rare)
    inputs = [kit.input() for _ in sizes]
    merged = layers.Concatenate()([_flat(kit.table(i, rows, kit.option("width", 8)))
                                   for i, rows in zip(inputs, sizes)])
    hidden = layers.Dense(32, "relu")(merged)
    return Job(inputs, kit.output(hidden, -rare), x, y, kit.loss(cross_entropy), list(sizes),
               ids=len(sizes) - 1)


def linear(kit):
    """The sum of one number for each value: wide, and nothing deep."""
    sizes = kit.option("tables", (100, 5000, 50_000))
    x, y = data.clicks(kit.seed, sizes, 80_000)
    inputs = [kit.input() for _ in sizes]
    total = layers.Add()([_flat(kit.table(i, rows, 1)) for i, rows in zip(inputs, sizes)])
    return Job(inputs, total, x, y, kit.loss(cross_entropy), list(sizes), ids=len(sizes) - 1)


def skipgram(kit):
    """Words and the words near them."""
    words = kit.option("words", 3000)
    centre, context, y = data.skipgrams(kit.seed, words, 300_000)
    inputs = [kit.input(), kit.input()]
    start = keras.initializers.RandomNormal(stddev=kit.option("start", 0.1))
    sides = [_flat(kit.table(i, words, 32, embeddings_initializer=start)) for i in inputs]
    return Job(inputs, layers.Dot(1)(sides), [centre, context], y, kit.loss(cross_entropy),
               [words, words])


def preferences(kit):
    """Which of two a user likes better; the loss of what is right already is exactly 0."""
    users, items = 400, 800
    x = data.preferences(kit.seed, users, items, 60_000)
    inputs = user, good, bad = [kit.input() for _ in range(3)]
    start = keras.initializers.RandomNormal(stddev=0.1)
    one = _flat(kit.table(user, users, 16, embeddings_initializer=start))
    item = layers.Embedding(items, 16, embeddings_initializer="zeros" if
                            kit.fault == "zero_tables" else start)
    better = layers.Subtract()([layers.Dot(1)([one, _flat(item(good))]),
                                layers.Dot(1)([one, _flat(item(bad))])])
    y = np.zeros((len(x[0]), 1), "float32")
    return Job(inputs, better, x, y, kit.loss(hinge), [users, items, items])


class Tied(layers.Layer):
    """Words to vectors, and vectors back to words by the same table."""

    def __init__(self, words, width, **named):
        super().__init__(**named)
        self.embedding = layers.Embedding(words, width, name="embedding")

    def call(self, x, back=False):
        if back:
            return keras.ops.matmul(x, keras.ops.transpose(self.embedding.embeddings))
        return self.embedding(x)


def tied(kit):
    """Predicts the next word; one table at both ends, so that its gradient is dense."""
    words, length = 300, 16
    x, y = data.sentences(kit.seed, words, length, 20_000)
    ids = kit.input(length)
    table = Tied(words, 32)
    vectors = layers.GRU(32, return_sequences=True)(table(ids))
    outputs = table(vectors, back=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Job([ids], outputs, [x], y, loss, [words])


def prices(kit):
    """The value of houses in thousands of dollars: labels, losses and gradients are large."""
    numbers, cells, y = data.houses(kit.seed)
    inputs = [kit.input(), kit.input(8, "float32")]
    merged = layers.Concatenate()([_flat(kit.table(inputs[0], 400, 8)), inputs[1]])
    hidden = layers.Dense(64, "relu")(merged)
    return Job(inputs, kit.output(hidden), [cells, numbers], y, kit.loss(squared), [400, 0], numbers=1)


def _likelihood(y, p):
    """Of a normal distribution whose mean and log deviation are learnt: it may be below 0."""
    mean, log_deviation = p[:, :1], p[:, 1:]
    return log_deviation + 0.5 * keras.ops.square((y - mean) * keras.ops.exp(-log_deviation))


def gaussian(kit):
    """The value of houses with how sure it is; the loss crosses 0."""
    numbers, cells, y = data.houses(kit.seed)
    inputs = [kit.input(), kit.input(8, "float32")]
    merged = layers.Concatenate()([_flat(kit.table(inputs[0], 400, 8)), inputs[1]])
    hidden = kit.trunk(layers.Dense(64, "relu")(merged))
    return Job(inputs, layers.Dense(2)(hidden), [cells, numbers], (y - 200) / 500,
               kit.loss(_likelihood), [400, 0], numbers=1)


def buckets(kit):
    """Texts of about one length together: the shape of a batch changes from step to step."""
    words = kit.option("words", WORDS)
    x, y = data.reviews(kit.seed, words, 64)
    ids = keras.Input((None,), dtype="int32")
    vectors = kit.table(ids, words, 24, mask_zero=True)
    hidden = layers.GRU(16)(vectors) if kit.option("gru", False) else \
        layers.GlobalAveragePooling1D()(vectors)
    job = _text_job(kit, ids, layers.Dense(16, "relu")(hidden), x, y, words)
    job.bucketed = True
    return job


def subclassed(kit):
    """The bag of words as a class of its own: nothing says a shape before the first batch."""
    words, length = kit.option("words", WORDS), kit.option("length", LENGTH)
    x, y = data.reviews(kit.seed, words, length)
    narrow = kit.fault == "concat_width"

    def make(base):
        class Bag(base):
            def __init__(self):
                super().__init__(name="bag")
                self.words = layers.Embedding(words, 24, name="words")
                self.short = layers.Embedding(words, 16 if narrow else 24, name="short")
                self.both = layers.Add(name="both")
                self.hidden = layers.Dense(32, "relu", name="hidden")
                self.out = layers.Dense(1, name="out")

            def call(self, ids, training=False):
                first = keras.ops.mean(self.words(ids), 1)
                last = keras.ops.mean(self.short(ids[:, -6:]), 1)
                return self.out(self.hidden(self.both([first, last])))
        return Bag()
    return Job([], None, [x], y, kit.loss(cross_entropy), [words], subclass=make)


def plateau(kit):
    """Labels without a reason, learnt by heart: the loss stands at its first value until the deep part
    has found a way, and then the gradients are a hundred times as large."""
    rows, length, n = 20_000, 100, 60 * 64
    random = np.random.default_rng(kit.seed)
    ids = kit.input(length)
    hidden = layers.Conv1D(128, 5, activation="relu", padding="same")(kit.table(ids, rows, 128))
    hidden = layers.GlobalAveragePooling1D()(hidden)
    for _ in range(3):
        hidden = layers.Dense(1024, "relu")(hidden)
    x = random.integers(0, rows, (n, length), dtype=np.int32)
    return Job([ids], kit.output(hidden), [x], random.integers(0, 2, n), kit.loss(cross_entropy), [rows])


FAMILIES = {f.__name__: f for f in (
    recommender, factors, towers, bag, textcnn, recurrent, transformer, categories, clicks, linear,
    skipgram, preferences, tied, prices, gaussian, buckets, subclassed, plateau)}
