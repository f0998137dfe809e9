"""How often Keras' callback samples where it is left to it, and what is seen at the other steps."""
import json
import subprocess

from keras_models import (ROWS, EmbmonCallback, callback, data, keras, made, nested, np, recorded,
                          tf)
from harness import BUILD

STEPS = 120


def many(steps=STEPS):
    return data(batches=steps, size=8, short=0)


def fit(watch, model=None, steps=STEPS, callbacks=(), **named):
    x, y = many(steps)
    model = model or made(nested)
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch, *callbacks], **named)
    return model


def test_auto_takes_the_first_steps_and_then_few(daemon):
    """A step of this model is short: a post is a large part of it."""
    watch = callback(daemon, every="auto")
    fit(watch, steps=1200)
    stats = watch._monitor.client.stats()
    assert stats.every >= 4 and stats.overhead >= 0
    done = subprocess.run([BUILD / "embmonctl", "--address", f"unix:{daemon.socket}", "runs",
                           "--json"], capture_output=True, text=True, timeout=20)
    run = recorded(daemon, watch)
    steps = run.steps("loss")
    assert steps[:16] == list(range(16))
    assert len(steps) < 600 and steps[-1] > 50
    assert json.loads(done.stdout)["every"] > 1
    shares = dict(run.scalars["embmond/overhead_percent"])
    assert shares and all(value >= 0 for value in shares.values())
    assert all(n in (4, 8, 16, 32, 64, 128, 256, 512, 1024)
               for n in dict(run.scalars["embmond/sampled_every"]).values())


def test_a_share_that_is_large_samples_more(daemon):
    watch = callback(daemon, every="auto", overhead=1)
    fit(watch)
    assert watch._monitor.client.stats().every == 4
    watch.close(20)


def test_weights_stay_to_the_bit(daemon):
    plain = made(nested)
    x, y = many()
    plain.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    watch = callback(daemon, every="auto")
    watched = fit(watch)
    watch.close(20)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


class Spoil(keras.callbacks.Callback):
    """From this step on the targets are no numbers."""

    def __init__(self, model, step):
        super().__init__()
        self._step = step
        self._poison = tf.Variable(0.0, trainable=False)
        model.poison = self._poison

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self._step:
            self._poison.assign(float("nan"))


def spoilt():
    model = made(nested)
    spoil = Spoil(model, 37)

    def loss(y, prediction):
        return keras.ops.mean(keras.ops.square(y - prediction), axis=-1) * (1 + model.poison)

    model.compile("adam", loss)
    return model, spoil


def first(daemon, detector):
    lines = (daemon.logdir / "run" / "embmon" / "alerts.jsonl").read_text().splitlines()
    return min(json.loads(x)["first_step"] for x in lines if json.loads(x)["detector"] == detector)


def test_a_loss_that_is_lost_between_sampled_steps_is_named_at_its_step(daemon):
    model, spoil = spoilt()
    watch = callback(daemon, every=64)
    fit(watch, model, steps=60, callbacks=[spoil])
    recorded(daemon, watch)
    assert first(daemon, "loss_nonfinite") == 37
    assert first(daemon, "gradient_nonfinite") == 37


def test_it_has_not_every_step_sampled_for_ever(daemon):
    model, spoil = spoilt()
    quiet = ["loss_nonfinite", "gradient_nonfinite", "activation_nonfinite", "activation_dead",
             "activation_collapsed", "activation_saturated", "layer_frozen", "gradient_vanishing",
             "update_ratio"]  # each would ask for more
    watch = callback(daemon, every=64, ignore=quiet)
    fit(watch, model, steps=130, callbacks=[spoil])
    steps = recorded(daemon, watch).steps("batch_size")
    assert steps[:9] == [0, *range(37, 45)]
    assert len(steps) < 20


def test_ids_beyond_the_table_are_named_at_any_step(daemon):
    x, y = many(60)
    x[41 * 8, 0] = -3
    model = made(nested)
    watch = callback(daemon, every=64)
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch])
    recorded(daemon, watch)
    assert first(daemon, "ids_out_of_range") == 41


def test_a_function_that_runs_by_itself_posts_nothing(daemon):
    """What is wanted stays set between the steps; a step that nobody has begun is none."""
    x, y = many(4)
    model = made(nested)

    class Again(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.train_function(iter(tf.data.Dataset.from_tensors((x[:8], y[:8]))))

    watch = callback(daemon)
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch, Again()])
    assert recorded(daemon, watch).steps("loss") == [0, 1, 2, 3]


def test_defaults(daemon):
    watch = EmbmonCallback(address=f"unix:{daemon.socket}", run="run")
    fit(watch, steps=20)
    assert ROWS and np.all(np.diff(recorded(daemon, watch).steps("loss")) >= 1)
