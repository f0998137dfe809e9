"""The mistakes: what is right to say of each, and how it is made.

Where it is made: in the model (TRUNKS, and models.py by the fault's name), in the optimizer
(optimizer()), in the loss (LOSSES) or in the data (SPOILS).
"""
import dataclasses

import keras
import numpy as np
from keras import layers

SIDE_STEP = 45  # of training, where a mistake in the data begins: every baseline is learnt by then


@dataclasses.dataclass(frozen=True)
class Fault:
    """right: detectors that are right to say of it, the one it is there for first.
    layers: "tables" every table that is sick, "table" one of them, "sick" a layer that is sick,
    "model" the model as a whole, "any" either.
    oracle: how oracle.py finds the first sick step. since: the step where the mistake was put in.
    early: the detector may see it before the oracle does: an update shows before norm and loss.
    raises: the user's own error that may end the training. severity: the least that counts."""

    text: str
    right: tuple
    layers: str = "sick"
    oracle: str = "since"
    since: int = 0
    steps: int = 80
    within: int = 20
    early: bool = False
    phase: str = "training"
    severity: str = "warning"
    raises: str = ""
    needs: tuple = ()  # of the record: "ratios", "outputs"


VANISHED = {"right": ("gradient_vanishing",), "layers": "tables", "oracle": "vanished", "steps": 60}
EXPLODED = {"right": ("gradient_exploding", "loss_diverged"), "layers": "any", "oracle": "exploded",
            "early": True, "steps": 60}
DIVERGED = EXPLODED | {"right": ("loss_diverged", "gradient_exploding")}
NONFINITE = {"right": ("gradient_nonfinite", "activation_nonfinite", "loss_nonfinite"),
             "layers": "any", "oracle": "nonfinite",
             "raises": "InvalidArgumentError"}  # by Keras' sparse Adagrad and RMSprop, given a NaN
OUTPUTS = {"needs": ("outputs",), "steps": 60}
IDS = {"layers": "table", "since": SIDE_STEP}
VALIDATION = {"layers": "table", "phase": "validation", "steps": 60}

FAULTS = {
    # ---- gradients that do not arrive
    "sigmoid6": Fault("six sigmoid layers that start small", **VANISHED),
    "sigmoid10": Fault("ten sigmoid layers", **VANISHED),
    "tanh_small": Fault("six tanh layers that start far too small", **VANISHED),
    "scaled_down": Fault("vectors divided by a million behind their look-up", **VANISHED),
    "zero_tables": Fault("both tables start at zero", **VANISHED),
    "zero_layers": Fault("two layers behind each other start at zero", **VANISHED),
    "masked_loss": Fault("the gradient of the tables is multiplied by a mask of zeros",
                         **VANISHED | {"right": ("gradient_vanishing", "layer_frozen")}),
    # ---- and those that grow
    "sgd_100": Fault("SGD at rate 100", **EXPLODED),
    "rate_300": Fault("a rate 300 times too high", **EXPLODED),
    "growing": Fault("a rate that grows by a tenth a step, instead of falling",
                     **EXPLODED | {"steps": 160}),
    "sign": Fault("the loss with the wrong sign", **EXPLODED | {"steps": 160}),
    "adam_1": Fault("Adam at rate 1", **DIVERGED | {"steps": 100}),
    "label_unit": Fault("labels in another unit from some step on", ("loss_diverged",), "model",
                        "since", SIDE_STEP),
    "bad_batch": Fault("one batch with labels times 1000", ("gradient_spike", "gradient_exploding"),
                       "any", "spike", SIDE_STEP, within=1),
    "bad_inputs": Fault("one batch with numbers times 10000", ("gradient_spike", "gradient_exploding"),
                        "any", "spike", SIDE_STEP, within=1),
    # ---- no numbers
    "log_0": Fault("log(0) in an own loss", **NONFINITE | {"steps": 250}),
    "sqrt_0": Fault("the gradient of sqrt(0) in an own loss", **NONFINITE | {"since": SIDE_STEP}),
    "exp_of_much": Fault("exp of what has become large", **NONFINITE | {"since": SIDE_STEP}),
    "nan_label": Fault("a NaN in the labels", **NONFINITE | {"since": SIDE_STEP, "within": 1}),
    "nan_number": Fault("a NaN in a column of numbers", **NONFINITE | {"since": SIDE_STEP, "within": 1}),
    "infinite_number": Fault("an infinity in a column of numbers",
                             **NONFINITE | {"since": SIDE_STEP, "within": 1}),
    "empty_sequence": Fault("a review without a word, and an average over its words",
                            ("sequence_empty", "activation_nonfinite", "gradient_nonfinite"), "any",
                            "since", SIDE_STEP, within=1),
    "pool_0": Fault("an average by hand over a count of zero", **NONFINITE | {
        "since": SIDE_STEP, "within": 1}),
    # ---- units
    "dead_relu": Fault("biases far below 0", ("activation_dead", "gradient_vanishing"),
                       oracle="dead", **OUTPUTS),
    "saturated_tanh": Fault("tanh layers that start a hundred times too large",
                            ("activation_saturated",), oracle="saturated", **OUTPUTS),
    "saturated_sigmoid": Fault("a sigmoid layer over numbers that were not scaled",
                               ("activation_saturated",), oracle="saturated", **OUTPUTS),
    "collapsed": Fault("a layer whose output no longer depends on its input",
                       ("activation_collapsed", "gradient_vanishing"), oracle="collapsed", **OUTPUTS),
    # ---- layers that do not move, or too much
    "left_out": Fault("a table missing in the optimizer", ("layer_frozen",), "table", "frozen",
                      needs=("ratios",), steps=60),
    "detached": Fault("stop_gradient behind the tables", ("layer_frozen",), "table", "frozen", needs=("ratios",), steps=60),
    "bf16_step": Fault("bfloat16 weights, and steps below one unit in the last place",
                       ("layer_frozen",), "table", "frozen", needs=("ratios",), steps=60),
    "decay": Fault("a weight decay that overwrites the layers in each step",
                   ("update_ratio", "gradient_exploding", "loss_diverged"), "any", "overwritten",
                   needs=("ratios",), steps=80, early=True),
    "underflow": Fault("float16 gradients, and a loss scale that has fallen too far",
                       ("gradient_underflow",), "any", "since", SIDE_STEP),
    "all_rows_decay": Fault("weight decay of every row of a table, also of those that no batch has",
                            ("rows_moved_untouched",), "table", "since", severity="info", steps=40),
    "no_negatives": Fault("a loss that pulls pairs together and nothing apart",
                          ("embedding_collapse",), "table", "alike", severity="info", steps=600,
                          within=60),
    # ---- the trainer
    "stalled": Fault("a loader that hangs", ("trainer_stalled",), "model", "since", SIDE_STEP,
                     within=1),
    # ---- ids
    "id_past": Fault("a vocabulary that is one larger than the table", ("ids_out_of_range",),
                     raises="InvalidArgumentError", within=1, **IDS),
    "id_from_1": Fault("ids that begin at 1, a table without room for the last", ("ids_out_of_range",),
                       "table", "out_of_range", raises="InvalidArgumentError", within=1),
    "id_minus_1": Fault("a missing value as id -1", ("ids_out_of_range",), within=1, **IDS),
    "id_999": Fault("ids such as 9.99", ("ids_dtype",), **IDS | {"since": 0}),
    "id_normalised": Fault("ids that a scaler made numbers from 0 to 1", ("ids_dtype",),
                           **IDS | {"since": 0}),
    "id_float": Fault("whole ids as floats", ("ids_dtype",), **IDS | {"since": 0}),
    "id_large_float": Fault("float ids past 2^24", ("ids_dtype",), **IDS | {"since": 0}),
    "tokenizer_broke": Fault("nearly every word becomes the unknown one", ("coverage_drop",), **IDS),
    "row_hot": Fault("a join that failed: half of the ids become one", ("rows_hot",), severity="info",
                     **IDS),
    "rows_unused": Fault("a table with rows that no id means", ("rows_dead",), severity="info",
                         within=30, **IDS | {"since": 0}),
    "table_first": Fault("the gradient of the tables times ten thousand, to make up for rare rows",
                         ("embedding_dominates",), "table", "dominates", severity="info", steps=60),
    # ---- padding, lengths, masks
    "padding_before": Fault("validation pads before the words, training after", ("padding_side",),
                            **VALIDATION),
    "padding_before_inference": Fault("inference pads before the words, training after",
                                      ("padding_side",), **VALIDATION | {"phase": "inference"}),
    "padding_missing": Fault("validation with short texts that nobody padded", ("padding_side", "ids_padding"),
                             **VALIDATION),
    "padding_much": Fault("validation with texts cut to a few words", ("ids_padding",
                          "sequence_length_drift"), **VALIDATION),
    "length_drift": Fault("validation with texts longer than any of training",
                          ("sequence_length_drift", "ids_padding"), **VALIDATION),
    "mask_lost": Fault("a layer that forgets the mask before one that needs it",
                       ("mask_mismatch",), "table", steps=40, within=1),
    "padding_row": Fault("padding declared, and a layer behind it that takes it for a word",
                         ("padding_row_gradient",), "table", steps=40),
    # ---- shapes
    "concat_width": Fault("wrong widths into an addition", ("shape_mismatch",), "any",
                          raises="InvalidArgumentError|ValueError", within=1, steps=5),
    "shape_validation": Fault("validation with sequences of another length", ("shape_changed",),
                              **VALIDATION | {"layers": "any"}),
}


# ---- in the model: what stands before the output

def _stack(depth, activation, spread):
    def trunk(x):
        for _ in range(depth):
            x = layers.Dense(32, activation, kernel_initializer=keras.initializers.
                             RandomNormal(stddev=spread))(x)
        return x
    return trunk


def _zero_layers(x):
    for _ in range(2):
        x = layers.Dense(32, "relu", kernel_initializer="zeros")(x)
    return x


def _collapsed(x):
    """Inputs scaled to nothing beside a bias of 1."""
    return layers.Dense(32, "tanh", bias_initializer="ones")(layers.Rescaling(1e-10)(x))


class Average(layers.Layer):
    """The mean of what is not padding, by hand, without a thought of an empty one."""

    def call(self, vectors, ids):
        there = keras.ops.cast(keras.ops.not_equal(ids, 0), "float32")[:, :, None]
        return keras.ops.sum(vectors * there, 1) / keras.ops.sum(there, 1)


class Detached(layers.Layer):
    def call(self, x):
        return keras.ops.stop_gradient(x)


class Forgets(layers.Layer):
    """As a layer of one's own is when nobody thought of masks."""

    def call(self, x):
        return x * 1.0


TRUNKS = {
    "sigmoid6": _stack(6, "sigmoid", 0.05),
    "sigmoid10": _stack(10, "sigmoid", 0.2),
    "tanh_small": _stack(6, "tanh", 0.01),
    "zero_layers": _zero_layers,
    "dead_relu": lambda x: layers.Dense(
        32, "relu", bias_initializer=keras.initializers.Constant(-20))(x),
    "saturated_tanh": lambda x: _stack(2, "tanh", 100.0)(x),
    "saturated_sigmoid": lambda x: layers.Dense(32, "sigmoid")(layers.Rescaling(10000)(x)),
    "collapsed": _collapsed,
    "detached": lambda x: Detached()(x),
}


# ---- in the optimizer

def optimizer(fault, model, usual):
    """usual: what it is when nothing is wrong."""
    if fault == "sgd_100":
        return keras.optimizers.SGD(100.0)
    if fault == "adam_1":
        return keras.optimizers.Adam(1.0)
    if fault == "growing":  # decay was meant
        return type(usual)(keras.optimizers.schedules.ExponentialDecay(model.rate, 1, 1.1))
    if fault == "rate_300":
        return type(usual)(model.rate * 300)
    if fault == "decay":
        return keras.optimizers.AdamW(model.rate, weight_decay=1.99 / model.rate)
    if fault == "bf16_step":
        return keras.optimizers.SGD(1e-6)
    return usual


# ---- in the loss

def _log_loss(y, p):
    return -(y * keras.ops.log(p) + (1 - y) * keras.ops.log(1 - p))


def _distance(y, p):
    """Root of the squared error; the gradient of sqrt(0) is infinite."""
    return keras.ops.sqrt(keras.ops.square(p - y) * keras.ops.cast(y > -50, "float32"))


def _poisson(y, p):
    """With the exponential of an output that has no bound."""
    return keras.ops.exp(p) - y * p


LOSSES = {"log_0": _log_loss, "sqrt_0": _distance, "exp_of_much": _poisson}


def wrong_sign(loss):
    return lambda y, p: -loss(y, p)


# ---- in the data; each is given x (a list), y, the rows of the step where it begins, and a Random

def _some(rows, random):
    return random.choice(np.arange(rows.start, rows.stop), max(2, (rows.stop - rows.start) // 50))


def _label(value):
    def spoil(job, rows, random):
        job.y[_some(rows, random)] = value
    return spoil


def _number(value):
    def spoil(job, rows, random):
        job.x[job.numbers][_some(rows, random)[:2], 0] = value
    return spoil


def _labels_times(factor, only_one):
    def spoil(job, rows, random):
        job.y[rows if only_one else slice(rows.start, None)] *= factor
    return spoil


def _inputs_times(job, rows, random):
    job.x[job.numbers][rows] *= 10000


def _id(value):
    """value: None for the first id past the table."""
    def spoil(job, rows, random):
        column = job.x[job.ids]
        chosen = _some(slice(rows.start, len(column)), random)
        chosen = np.append(chosen, rows.start)
        column[chosen, 0] = job.rows[job.ids] if value is None else value
    return spoil


def _ids_as(make):
    def spoil(job, rows, random):
        for place in range(len(job.x)):
            if place != job.numbers:
                job.x[place] = make(job.x[place], job.rows[place]).astype("float32")
    return spoil


def _one_row(job, rows, random):
    later = job.x[job.ids][rows.start:]
    later[random.random(len(later)) < 0.5] = 7


def _empty(job, rows, random):
    job.x[0][_some(rows, random)[:2]] = 0


def _unknown_words(job, rows, random):
    later = job.x[job.ids][rows.start:]
    later[(later > 1) & (random.random(later.shape) < 0.97)] = 1


def _exact(job, rows, random):
    job.y[_some(rows, random)] = -100


SPOILS = {
    "nan_label": _label(np.nan),
    "nan_number": _number(np.nan),
    "infinite_number": _number(np.inf),
    "label_unit": _labels_times(100, False),
    "bad_batch": _labels_times(1000, True),
    "bad_inputs": _inputs_times,
    "sqrt_0": _exact,
    "exp_of_much": _inputs_times,
    "empty_sequence": _empty,
    "pool_0": _empty,
    "id_past": _id(None),
    "id_minus_1": _id(-1),
    "id_999": _ids_as(lambda ids, n: np.minimum(ids + 0.99, n - 0.01)),
    "id_normalised": _ids_as(lambda ids, n: ids / n),
    "id_float": _ids_as(lambda ids, n: ids),
    "id_large_float": _ids_as(lambda ids, n: ids),
    "row_hot": _one_row,
    "tokenizer_broke": _unknown_words,
}


# ---- in the data of validation or inference: ids [n, length] to ids

def padded_before(ids):
    moved = np.zeros_like(ids)
    for to, row in zip(moved, ids):
        words = row[row > 0]
        to[len(row) - len(words):] = words
    return moved


def without_padding(ids):
    """The first eight words of each text, of those that have them."""
    return ids[np.resize(np.flatnonzero(ids[:, 7] > 0), len(ids)), :8]


def filled(ids):
    """Each text again and again until the row is full."""
    full = ids.copy()
    for row in full:
        words = row[row > 0]
        if len(words):
            row[:] = np.resize(words, len(row))
    return full


def cut_short(ids):
    short = ids.copy()
    short[:, 3:] = 0
    return short


SIDES = {
    "padding_before": padded_before,
    "padding_before_inference": padded_before,
    "padding_missing": without_padding,
    "padding_much": cut_short,
    "length_drift": filled,
    "shape_validation": lambda ids: np.concatenate([ids, np.zeros_like(ids[:, :6])], 1),
}
