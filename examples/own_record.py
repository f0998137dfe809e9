"""What the Keras examples have besides the training: their options, and the trainer's own record, for
`make verdicts` and the tests. What embmond says is judged by that, so nothing here asks the monitor.

The record is a text file: a line "step loss LAYER LAYER ...", then a line of numbers for every training
step.
"""
import argparse

import keras
import tensorflow as tf


def leaves(model, prefix=""):
    """{path: trainable variables} of the layers of `model` and of the models within it."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found.update(leaves(layer, f"{prefix}{layer.name}/"))
        elif layer.trainable_variables:
            found[prefix + layer.name] = layer.trainable_variables
    return found


class RecordedModel(keras.Model):
    """Trains as keras.Model does, and keeps loss and gradient norms of the last step, f64 [n]."""

    def train_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weights)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.keep(loss, gradients)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(y)[0])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return self.compute_metrics(x, y, predicted, weights)

    def keep(self, loss, gradients):
        squares = {id(variable): tf.reduce_sum(tf.cast(tf.convert_to_tensor(gradient), tf.float64)**2)
                   for variable, gradient in zip(self.trainable_variables, gradients)}
        norms = [tf.sqrt(tf.add_n([squares[id(variable)] for variable in variables]))
                 for variables in leaves(self).values()]
        if not hasattr(self, "kept"):
            with tf.init_scope():
                self.kept = tf.Variable(tf.zeros([1 + len(norms)], tf.float64), trainable=False)
        self.kept.assign(tf.stack([tf.cast(loss, tf.float64), *norms]))


class WriteRecord(keras.callbacks.Callback):
    """Writes the file, of a RecordedModel."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.step = 0

    def on_train_begin(self, logs=None):
        self.file = open(self.path, "w", encoding="ascii")
        print("step loss", *leaves(self.model), file=self.file)

    def on_train_batch_end(self, batch, logs=None):
        print(self.step, *(f"{value:.9g}" for value in self.model.kept.numpy()), file=self.file)
        self.step += 1

    def on_train_end(self, logs=None):
        self.file.close()


class StopAfter(keras.callbacks.Callback):
    """Ends the training after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            self.model.stop_training = True


def options_of(description, rates, batch, epochs):
    """The options of an example, but for what they are this time. rates: {optimizer: its usual rate};
    batch and epochs as they usually are."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--fault", default="none",
                        choices=("none", "vanishing", "exploding", "diverging", "nan"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--optimizer", choices=tuple(rates), default="adam")
    parser.add_argument("--rate", type=float, help=f"the learning rate (default {rates})")
    parser.add_argument("--batch", type=int, default=batch, help="examples in a step")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--steps", type=int, default=0,
                        help="end after so many steps, whatever --epochs")
    parser.add_argument("--run", help="the run's name in TensorBoard")
    parser.add_argument("--record", metavar="FILE",
                        help="write down loss and gradient norms of every step, without embmond")
    return parser


def epochs_of(options, examples):
    """So many that --steps are reached, a tenth of the examples being for validation."""
    if options.steps:
        return 1 + options.steps * options.batch // int(0.9 * examples)
    return options.epochs


def callbacks_of(options):
    """Those that do what the options say."""
    record = [WriteRecord(options.record)] if options.record else []
    return [StopAfter(options.steps), *record]
