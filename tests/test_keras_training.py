"""The callback and the life of a model: nothing of the training changes, whatever is done with it."""

import time

import numpy as np
import pytest

from keras_models import (KINDS, LENGTH, ROWS, WIDTH, EmbmonCallback, Tape, assert_norms, callback,
                          data, keras, layers, made, nested, plain, recorded, tf)


def gradient_steps(run, tag="gradients/out/kernel"):
    return run.steps(tag)


# ---- the numbers

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every", [1, 4])
def test_weights_and_history_to_the_bit(daemon, kind, every):
    """With and without, for five kinds of models, dropout and batch norm among them."""
    def train(callbacks):
        x, y = data(batches=6)
        model = made(KINDS[kind], loss="mse", metrics=["mae"])
        history = model.fit(x, y, batch_size=8, epochs=2, validation_split=0.2, verbose=0,
                            callbacks=callbacks)
        return model.get_weights(), history.history

    watch = callback(daemon, every=every)
    weights, history = train([watch])
    plain_weights, plain_history = train([])
    assert history == plain_history
    for ours, theirs in zip(weights, plain_weights, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    run = recorded(daemon, watch)
    assert set(run.steps("loss")) >= set(range(0, 10, every))  # so it was watched


def fused():
    """Layers that TensorFlow fuses with the next: residual additions, activations of their own,
    products scaled, batch norm before relu, transposed inputs of a product."""
    entry = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(ROWS, 8, embeddings_regularizer="l2")(entry)
    c = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(8, 3, padding="same")(x)))
    x = layers.Add()([x, layers.Conv1D(8, 1)(c)])
    x = layers.Activation("gelu")(layers.Dense(8, kernel_regularizer="l2")(x))
    x = layers.Multiply()([x, layers.Activation("sigmoid")(layers.Dense(8)(x))])
    x = layers.Dense(4)(layers.Permute((2, 1))(x))
    x = layers.LeakyReLU()(layers.Dense(6)(layers.Flatten()(layers.Rescaling(0.5)(x))))
    x = layers.Add()([layers.Dense(6)(x), layers.Dense(6)(x), x])
    return keras.Model(entry, layers.Dense(1)(layers.LayerNormalization()(x)))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "adagrad", "clipped"])
def test_what_tensorflow_fuses_stays_fused(daemon, optimizer):
    def train(callbacks):
        x, y = data(batches=8)
        chosen = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, global_clipnorm=0.1) \
            if optimizer == "clipped" else optimizer
        model = made(fused, optimizer=chosen)
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_data=(x, y),
                            callbacks=callbacks)
        return model.get_weights(), history.history, model.predict(x, verbose=0, callbacks=callbacks)

    weights, history, predicted = train([callback(daemon)])
    twin_weights, twin_history, twin_predicted = train([])
    assert history == twin_history and predicted.tobytes() == twin_predicted.tobytes()
    for ours, theirs in zip(weights, twin_weights, strict=True):
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("layer", [layers.Multiply, layers.Maximum, layers.Minimum, layers.Average,
                                   layers.Concatenate], ids=lambda x: x.__name__)
def test_layers_that_join_masked_sequences_of_any_length(daemon, layer):
    """What such a layer is called with carries masks, and some of them compute with these."""
    def build():
        entries = [keras.Input((None,), dtype="int32") for _ in range(2)]
        sides = [layers.Embedding(ROWS, WIDTH, mask_zero=True)(x) for x in entries]
        return keras.Model(entries, layers.Dense(1)(layers.GlobalAveragePooling1D()(layer()(sides))))

    def train(callbacks):
        x, y = data(batches=4)
        other = x[::-1].copy()
        x[:, 3:], other[:, 1:] = 0, 0
        of_any = tf.TensorSpec((None, None), tf.int32)
        batches = tf.data.Dataset.from_generator(
            lambda: (((x[n:n + 8], other[n:n + 8]), y[n:n + 8]) for n in range(0, 24, 8)),
            output_signature=((of_any, of_any), tf.TensorSpec((None, 1), tf.float32)))
        model = made(build)
        history = model.fit(batches, epochs=2, verbose=0, callbacks=callbacks)
        return model.get_weights(), history.history

    watch = callback(daemon)
    weights, history = train([watch])
    twin_weights, twin_history = train([])
    assert history == twin_history
    for ours, theirs in zip(weights, twin_weights, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert len(recorded(daemon, watch).steps("loss")) == 6


def test_the_users_random_numbers_are_the_same(daemon):
    """tf.random in a train_step of the user's own."""
    class Noisy(keras.Model):
        def train_step(self, batch):
            x, y = batch
            return super().train_step((x, y + tf.random.normal(tf.shape(y))))

    def train(callbacks):
        entry = keras.Input((LENGTH,), dtype="int32")
        model = made(lambda: Noisy(entry, layers.Dense(1)(layers.Flatten()(
            layers.Embedding(ROWS, WIDTH)(entry)))))
        x, y = data()
        model.fit(x, y, batch_size=8, verbose=0, callbacks=callbacks)
        return model.get_weights()

    watch = callback(daemon)
    for ours, theirs in zip(train([watch]), train([]), strict=True):
        assert ours.tobytes() == theirs.tobytes()


# ---- steps

def test_several_fits_recompilation_and_evaluation(daemon):
    """One count of training steps, one of validation, one of inference, none ever going back."""
    x, y = data()  # 4 batches of 8
    model = made(plain)
    watch = callback(daemon)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_data=(x, y), callbacks=[watch])
    assert "call" not in vars(model.get_layer("out"))  # taken out in between
    assert "apply" not in vars(model.optimizer) and "train_step" not in vars(model)
    model.fit(x, y, batch_size=8, verbose=0)  # not watched
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    model.compile(optimizer="sgd", loss="mae")  # its iterations begin at 0
    assert int(model.optimizer.iterations) == 0
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    model.evaluate(x, y, batch_size=8, verbose=0, callbacks=[watch])
    model.predict(x, batch_size=8, verbose=0, callbacks=[watch])
    model.predict(x, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    # The 4 steps not watched count: Adam's own number was the larger one.
    assert gradient_steps(run) == [*range(8), *range(12, 20)]
    assert run.steps("validation/activations/hidden") == list(range(12))
    assert run.steps("inference/activations/hidden") == list(range(8))
    assert not [t for t in run.histograms if t.startswith(("validation/gradients", "validation/w"))]


def test_what_comes_after_fit_is_no_stall(daemon):
    x, y = data()
    watch = callback(daemon, thresholds={"trainer_stalled": {"seconds": 1, "steps": 0}})
    model = made(plain)
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[watch])
    time.sleep(3)
    assert not [a for a in daemon.ask("alerts") if a["detector"] == "trainer_stalled"]
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    assert gradient_steps(run) == list(range(16))  # and all of training


def test_what_was_traced_before(daemon):
    """A model fitted, evaluated and used before."""
    x, y = data()
    model = made(plain)
    model.fit(x, y, batch_size=8, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    watch = callback(daemon)
    model.fit(x, y, batch_size=8, verbose=0, validation_data=(x, y), callbacks=[watch])
    model.predict(x, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    assert gradient_steps(run) == [4, 5, 6, 7]
    assert run.steps("validation/activations/out") == [0, 1, 2, 3]
    assert run.steps("inference/activations/out") == [0, 1, 2, 3]


@pytest.mark.parametrize("every", [1, 4])
def test_steps_per_execution(daemon, every):
    """Steps that Python never sees, 3 at a time, 10 in an epoch."""
    x, y = data(batches=9, short=3)
    model = made(plain, steps_per_execution=3)
    twin = made(plain)
    # An alert, an info too, would have more steps sampled.
    watch = callback(daemon, every=every, ignore=["rows_dead", "rows_moved_untouched"])
    tape = Tape(x, y, 8)
    twin.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=[tape])
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, validation_data=(x, y),
              callbacks=[watch])
    model.predict(x, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    norms = tape.norms(*twin.trainable_variables)
    found = run.scalars["gradient_norm/all"]
    assert [step for step, _ in found] == list(range(0, 20, every))
    np.testing.assert_allclose([v for _, v in found], norms[::every], rtol=1e-5)
    assert run.steps("loss") == list(range(0, 20, every))
    assert len(run.steps("validation/activations/out")) == (20 + every - 1) // every
    assert run.steps("inference/activations/out")[-1] == (9 if every == 1 else 8)


def test_a_dataset_of_unknown_length(daemon):
    """Keras begins one batch more than there is; that is no step."""
    x, y = data()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8).filter(lambda a, b: True)
    model = made(plain)
    watch = callback(daemon)
    model.fit(batches, epochs=3, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    assert gradient_steps(run) == list(range(12))


@pytest.mark.parametrize("by_operations", [True, False])
def test_every_fourth_step_and_nothing_between(daemon, by_operations):
    x, y = data(batches=9)
    model = made(plain)
    watch = callback(daemon, every=3)  # rounded up
    calls = []
    monitor = watch._monitor
    if not by_operations:
        monitor.gate = lambda: None
    post = monitor.client.post
    monitor.client.post = lambda *arguments: calls.append(arguments[2]) or post(*arguments)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    assert gradient_steps(run) == [0, 4, 8]
    assert sorted(set(calls)) == ([] if by_operations else [0, 4, 8])


def test_eager_training(daemon):
    x, y = data()
    model = made(plain, run_eagerly=True)
    watch, tape = callback(daemon), Tape(x, y, 8)
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch, tape])
    run = recorded(daemon, watch)
    assert_norms(run.scalars["gradient_norm/all"], tape.norms(*model.trainable_variables))
    assert run.steps("activations/out") == run.steps("updates/out/kernel") == [0, 1, 2, 3]


def test_resume(daemon):
    x, y = data()
    first = callback(daemon)
    made(plain).fit(x, y, batch_size=8, verbose=0, callbacks=[first])
    assert first.close(20) == 0
    second = callback(daemon, resume=True)
    made(plain).fit(x, y, batch_size=8, verbose=0, callbacks=[second])
    assert gradient_steps(recorded(daemon, second)) == list(range(8))


# ---- own training steps

class Gan(keras.Model):
    """Two optimizers, neither of them model.optimizer."""

    def __init__(self, critics=1):
        super().__init__(name="gan")
        self.generator = keras.Sequential([keras.Input((LENGTH,)), layers.Dense(4, name="dense")],
                                          name="generator")
        self.critic = keras.Sequential([keras.Input((LENGTH,)), layers.Dense(4, name="dense"),
                                        layers.Dense(1, name="dense_1")], name="critic")
        self.ours = {"critic": keras.optimizers.Adam(0.01)}
        self.generator_optimizer = keras.optimizers.Adam(0.02)
        self.critics = critics

    def call(self, x):
        return self.critic(self.generator(x))

    def train_step(self, x):
        for _ in range(self.critics):
            with tf.GradientTape() as tape:
                d_loss = tf.reduce_mean(self.critic(self.generator(x))) - tf.reduce_mean(self.critic(x))
            v = self.critic.trainable_variables
            self.ours["critic"].apply_gradients(zip(tape.gradient(d_loss, v), v))
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(self.critic(self.generator(x)))
        v = self.generator.trainable_variables
        self.generator_optimizer.apply_gradients(zip(tape.gradient(g_loss, v), v))
        return {"d_loss": d_loss, "g_loss": g_loss}


def gan(**named):
    keras.utils.set_random_seed(3)
    model = Gan(**named)
    model.compile()
    return model


def test_a_gan_with_its_own_train_step(daemon):
    x = np.random.default_rng(0).normal(size=(32, LENGTH)).astype("float32")
    watch = callback(daemon)
    model, twin = gan(), gan()
    model.fit(x, batch_size=8, verbose=0, shuffle=False, callbacks=[watch])
    twin.fit(x, batch_size=8, verbose=0, shuffle=False)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    run = recorded(daemon, watch)
    gradients = {t[len("gradients/"):] for t in run.histograms if t.startswith("gradients/")}
    assert gradients == {f"{m}/{v}" for m in ("generator/dense", "critic/dense", "critic/dense_1")
                         for v in ("kernel", "bias")}
    assert gradient_steps(run, "gradients/critic/dense/kernel") == [0, 1, 2, 3]  # one step each
    assert run.steps("scalars/d_loss") == run.steps("scalars/g_loss") == [0, 1, 2, 3]
    np.testing.assert_allclose([v for _, v in run.scalars["learning_rate"]], 0.01, rtol=1e-6)


class LeftOut(keras.Model):
    """Its train_step gives the optimizer all but the table and one bias."""

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        given = [v for v in self.trainable_variables if not v.path.endswith(self.without)]
        self.optimizer.apply_gradients(zip(tape.gradient(loss, given), given))
        return {"loss": loss}


def left_out(without):
    model = made(lambda: LeftOut(*(lambda m: (m.inputs, m.outputs))(plain())))
    model.without = without
    return model


def test_what_no_optimizer_is_given_is_shown_to_stand_still(daemon):
    x, y = data(batches=8)
    watch = callback(daemon)
    model = left_out(("embedding/embeddings", "hidden/bias"))
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch])
    run = recorded(daemon, watch)
    assert run.steps("updates/embedding") == run.steps("updates/hidden/bias") == \
        run.steps("updates/hidden/kernel")
    for tag, still in (("embedding", True), ("hidden/bias", True), ("hidden/kernel", False)):
        moved = [bucket[:2] for _, buckets in run.histograms[f"updates/{tag}"] for bucket in buckets]
        assert bool(np.abs(moved).max() == 0) is still, tag
    fired = {a["layer"] for a in daemon.alerts_file() if a["state"] == "firing"
             and a["detector"] == "layer_frozen"}
    assert fired == {"embedding"}  # the rest of hidden moves


def test_an_apply_within_a_branch_and_a_function(daemon):
    """An optimizer that is called within tf.cond, and one within the user's own tf.function."""
    class Branching(Gan):
        @tf.function
        def critic_step(self, x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self.critic(x))
            v = self.critic.trainable_variables
            self.ours["critic"].apply_gradients(zip(tape.gradient(loss, v), v))
            return loss

        def generator_step(self, x):
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(self.critic(self.generator(x)))
            v = self.generator.trainable_variables
            self.generator_optimizer.apply_gradients(zip(tape.gradient(loss, v), v))
            return loss

        def train_step(self, x):
            d_loss = self.critic_step(x)
            even = tf.equal(self.ours["critic"].iterations % 2, 0)
            g_loss = tf.cond(even, lambda: self.generator_step(x), lambda: tf.constant(0.0))
            return {"d_loss": d_loss, "g_loss": g_loss}

    x = np.random.default_rng(0).normal(size=(32, LENGTH)).astype("float32")
    keras.utils.set_random_seed(3)
    model = Branching()
    model.compile()
    for optimizer, part in ((model.ours["critic"], model.critic),
                            (model.generator_optimizer, model.generator)):
        optimizer.build(part.trainable_variables)  # Keras wants it so within branches
    watch = callback(daemon)
    model.fit(x, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    assert gradient_steps(run, "gradients/critic/dense/kernel") == [0, 1, 2, 3]
    assert gradient_steps(run, "gradients/generator/dense/kernel") == [1, 3]


def test_one_warning_when_no_gradient_comes(daemon, caplog):
    hidden = [keras.optimizers.SGD(0.1)]

    class Elsewhere(keras.Model):
        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y) ** 2)
            v = self.trainable_variables
            hidden[0].apply_gradients(zip(tape.gradient(loss, v), v))
            return {"loss": loss}

    def build():
        entry = keras.Input((LENGTH,))
        return Elsewhere(entry, layers.Dense(1, name="out")(entry))

    x, y = data(batches=5)
    watch = callback(daemon)
    made(build, optimizer="adam").fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    found = [r.getMessage() for r in caplog.records if "no gradient" in r.getMessage()]
    assert len(found) == 1 and "Adam" in found[0] and "model.optimizer" in found[0]
    assert watch.close(20) == 0

    caplog.clear()
    hidden[0] = keras.optimizers.SGD(0.1)
    watch = callback(daemon, run="given", optimizers=hidden)
    made(build, optimizer="adam").fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert not [r for r in caplog.records if "no gradient" in r.getMessage()]
    run = recorded(daemon, watch, "given")
    assert len(gradient_steps(run)) == 6 and run.steps("loss") == list(range(6))


# ---- saving

def test_saving_while_it_is_watched(daemon, tmp_path):
    x, y = data()
    model = made(nested)
    path = str(tmp_path / "model.keras")

    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(path)

    watch = callback(daemon)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch, Save()])
    loaded = keras.models.load_model(path)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert [int(v) for v in loaded.optimizer.variables[:1]] == [4]
    loaded.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert gradient_steps(recorded(daemon, watch), "gradients/dense/kernel") == list(range(8))


def test_exporting_while_it_is_watched(daemon, tmp_path):
    """The probes are for steps of training alone: no graph made elsewhere has them."""
    x, y = data()
    model = made(nested)

    class Export(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.export(str(tmp_path / "exported"), verbose=False)

    model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback(daemon), Export()])
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(x), model.predict(x, verbose=0), rtol=1e-6)


def test_prediction_within_another_callback_is_not_ours(daemon):
    x, y = data()

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.predict(x, batch_size=8, verbose=0)
            self.model.evaluate(x, y, batch_size=8, verbose=0)

    for n, spe in enumerate((1, 2)):
        watch = callback(daemon, run=f"look{n}")
        made(plain, steps_per_execution=spe).fit(x, y, batch_size=8, epochs=2, verbose=0,
                                                 callbacks=[Look(), watch])
        run = recorded(daemon, watch, f"look{n}")
        assert gradient_steps(run) == list(range(8))
        assert not [t for t in run.histograms if t.startswith(("inference", "validation"))]


# ---- what is asked for

def test_layers_signals_and_name(daemon):
    x, y = data()
    watch = callback(daemon, layers=["embedding*", "outer/d*e"], signals=("gradient", "weight"),
                     name="outer")
    made(nested).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    kinds = {t.split("/")[0] for t in run.histograms}
    assert kinds == {"gradients", "gradients_log10", "weights"}
    assert {t for t in run.histograms if t.startswith("gradients/")} == {
        "gradients/outer/inner_model/embedding", "gradients/outer/inner_model/embedding_1",
        "gradients/outer/dense/kernel", "gradients/outer/dense/bias"}


def test_what_is_refused_at_once():
    for wrong in ({"signals": ("gradient", "id")}, {"signals": ("gradients",)},
                  {"stop_on": ("gradient_nan",)}, {"every": 0}, {"run": "../x"},
                  {"overhead": 0}, {"overhead": 1.5}, {"overhead": "much"}, {"address": "nowhere"}, {"ignore": ["spikes"]}, {"ignore": [("gradient_spike",)]},
                  {"thresholds": {"gradient_spike": {"ratio": 1}}},
                  {"thresholds": {"gradient_nonfinite": {"ratio": 1}}},
                  {"thresholds": {"gradient_spike": {"a*": {"layer": "2"}}}}):
        with pytest.raises(ValueError):
            EmbmonCallback(**wrong)
    with pytest.raises(TypeError):
        EmbmonCallback(on_alert=1)
    EmbmonCallback(stop_on=("warning", "loss_nonfinite"), ignore=["gradient_spike"],
                   thresholds={"gradient_vanishing": {"ratio": 1e-5, "emb*": {"norm": 1}}})


def test_several_models_in_one_run(daemon):
    x, y = data()
    watch = callback(daemon)
    made(plain).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    made(nested).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    assert gradient_steps(run) == [0, 1, 2, 3]
    assert gradient_steps(run, "gradients/dense/kernel") == [4, 5, 6, 7]
