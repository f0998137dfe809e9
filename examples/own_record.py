"""The trainer's own record of a training, for `make verdicts` and the tests: what embmond says is
judged by it, so nothing here asks the monitor.

A text file: a line "step loss LAYER LAYER ...", then a line of numbers for every training step.
"""
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
