"""The trainer's own record of a training: what embmond says is judged by it, so nothing here asks
the monitor.

A JSON file: "steps", "loss", {layer: norms of its gradient}, {layer: norm of what a step changed by
norm of the weights before}, {layer: [share of zeros, share of saturated outputs, spread over the
batch]}, which layers are tables, and how it ended.
"""
import json
import math

import keras
import tensorflow as tf

ACTIVE = ("relu", "tanh", "sigmoid", "gelu", "hard_sigmoid")
LIMIT = {"tanh": (1.0,), "sigmoid": (0.0, 1.0)}


def leaves(model, prefix=""):
    """{path: layer} of the layers of `model` and of the models within it, in forward order."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found.update(leaves(layer, f"{prefix}{layer.name}/"))
        elif not isinstance(layer, keras.layers.InputLayer):
            found[prefix + layer.name] = layer
    return found


def _dense(gradient):
    return tf.cast(tf.convert_to_tensor(gradient), tf.float64)


def _squares(gradient):
    """Sum of squares, the rows of one id added up; of a few looked-up rows of a large table too."""
    if isinstance(gradient, tf.IndexedSlices):
        _, places, = tf.unique(tf.reshape(gradient.indices, [-1]))
        rows = tf.math.unsorted_segment_sum(tf.cast(gradient.values, tf.float64), places,
                                            tf.reduce_max(places) + 1)
        return tf.reduce_sum(rows ** 2)
    return tf.reduce_sum(_dense(gradient) ** 2)


class Recorded:
    """Trains as keras.Model does, and keeps of the last step what the record is made of, f64 [n].

    left_out: variables (by id) that the optimizer is not given. ratios: also keep how far a step
    moved each layer. spoil: {"gradient": function of the list of gradients}, for a fault there."""

    left_out = frozenset()
    ratios = False
    spoil = None

    def train_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weights)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        if self.spoil is not None:
            gradients = self.spoil(gradients)
        before = [tf.identity(v) for v in variables] if self.ratios else []
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(y)[0])
        given = [(g, v) for g, v in zip(gradients, variables)
                 if id(v) not in self.left_out and g is not None]
        self.optimizer.apply_gradients(given)
        self.keep(loss, dict(zip(map(id, variables), gradients)),
                  {id(v): (old, v) for old, v in zip(before, variables)})
        return self.compute_metrics(x, y, predicted, weights)

    def trained_layers(self):
        return {path: layer.trainable_variables for path, layer in leaves(self).items()
                if layer.trainable_variables}

    def keep(self, loss, gradients, moved):
        zero = tf.zeros([], tf.float64)
        row = [tf.cast(loss, tf.float64)]
        for variables in self.trained_layers().values():
            parts = [_squares(gradients[id(v)]) for v in variables if gradients[id(v)] is not None]
            row.append(tf.sqrt(tf.add_n(parts)) if parts else zero)
        if self.ratios:
            for variables in self.trained_layers().values():
                change = tf.add_n([tf.reduce_sum(_dense(v - old) ** 2)
                                   for old, v in (moved[id(v)] for v in variables)])
                size = tf.add_n([tf.reduce_sum(_dense(old) ** 2)
                                 for old, _ in (moved[id(v)] for v in variables)])
                row.append(tf.sqrt(change / size))
        if getattr(self, "kept", None) is None:
            with tf.init_scope():
                self.kept = tf.Variable(tf.zeros([len(row)], tf.float64), trainable=False)
        self.kept.assign(tf.stack(row))


class RecordedModel(Recorded, keras.Model):
    """Of inputs and outputs. Keras changes the bases of such a class, so it is no base for others."""


class RecordedClass(Recorded, keras.Model):
    """For models that are classes of their own."""


def _activation_name(layer):
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _of_output(output, name):
    """Share of zeros, share at a limit, and variance over the batch by its mean square, f64 [3]."""
    flat = tf.cast(tf.reshape(output, [tf.shape(output)[0], -1]), tf.float64)
    near = [tf.abs(tf.abs(flat) - limit) < 1e-4 for limit in LIMIT.get(name, ())]
    saturated = tf.reduce_mean(tf.cast(tf.reduce_any(tf.stack(near), 0), tf.float64)) if near else \
        tf.zeros([], tf.float64)
    spread = tf.reduce_sum(tf.math.reduce_variance(flat, 0))
    scale = tf.reduce_mean(tf.reduce_sum(flat ** 2, 1))
    return tf.stack([tf.reduce_mean(tf.cast(flat == 0, tf.float64)), saturated,
                     tf.math.divide_no_nan(spread, scale)])


def note_outputs(model):
    """Keeps of each layer with an activation what its outputs are like, in training. Before the model
    is compiled. {path: tf.Variable [3]}"""
    notes = {}
    for path, layer in leaves(model).items():
        if _activation_name(layer) in ACTIVE:
            notes[path] = tf.Variable(tf.zeros([3], tf.float64), trainable=False)
            # Past Keras' tracking: this is no part of the layer.
            object.__setattr__(layer, "call", _noting(layer.call, notes[path], _activation_name(layer)))
    return notes


def _noting(call, note, name):
    def noted_call(*arguments, **named):
        output = call(*arguments, **named)
        if not isinstance(output, keras.KerasTensor):
            note.assign(_of_output(output, name))
        return output
    return noted_call


class Keeper(keras.callbacks.Callback):
    """Collects the record, of a RecordedModel."""

    def __init__(self, notes):
        super().__init__()
        self.notes = notes
        self.fits = []  # of each fit(): layers, and a row for each step
        self.outputs = {path: [] for path in notes}

    def on_train_begin(self, logs=None):
        self.model.kept = None  # layers may have been unfrozen since the last fit()
        self.fits.append(([], []))

    def on_train_batch_end(self, batch, logs=None):
        names, rows = self.fits[-1]
        if not rows:  # not before the first step: it may have built the model
            names += self.model.trained_layers()
        rows.append(self.model.kept.numpy().tolist())
        for path, note in self.notes.items():
            self.outputs[path].append(note.numpy().tolist())

    def record(self):
        """As the file has it."""
        rows = [(names, row) for names, rows in self.fits for row in rows]
        layers = list(dict.fromkeys(name for names, _ in self.fits for name in names))

        def column(of, layer, skipped):
            return of[1][1 + skipped * len(of[0]) + of[0].index(layer)] if layer in of[0] else None

        def columns(skipped):
            return {layer: [column(of, layer, skipped) for of in rows] for layer in layers}
        return {"steps": list(range(len(rows))), "loss": [row[0] for _, row in rows],
                "norms": columns(0), "ratios": columns(1) if self.model.ratios else {},
                "outputs": self.outputs, "layers": layers}


def write(path, record):
    """Whole or not at all."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(record))
    partial.replace(path)


class Record:
    """The file, read."""

    def __init__(self, path):
        self.__dict__.update(json.loads(path.read_text()))

    def first_loss(self):
        finite = [x for x in self.loss[:5] if math.isfinite(x)]
        return sorted(finite)[len(finite) // 2] if finite else math.nan
