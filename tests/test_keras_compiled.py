"""jit_compile=True: the statistics are made in the graph."""

import numpy as np
import pytest

from keras_models import (KINDS, Tape, assert_norms, callback, data, made, nested, plain, recorded,
                          tf)


def test_norms_and_tags(daemon):
    x, y = data()
    model = made(nested, jit_compile=True)
    assert model.jit_compile
    watch, tape = callback(daemon), Tape(x, y, 8)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, validation_data=(x, y),
              callbacks=[watch, tape])
    model.predict(x, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    inner = model.get_layer("inner_model")
    for path, layer in (("inner_model/embedding", inner.get_layer("embedding")),
                        ("inner_model/embedding_1", inner.get_layer("embedding_1")),
                        ("dense", model.get_layer("dense")), ("dense_1", model.get_layer("dense_1"))):
        assert_norms(run.scalars[f"gradient_norm/{path}"], tape.norms(*layer.trainable_variables))
        for signal in ("activations",):
            assert run.steps(f"{signal}/{path}") == list(range(8))
    for signal in ("weights", "updates"):
        assert run.steps(f"{signal}/dense/kernel") == list(range(8))
        assert run.steps(f"{signal}/inner_model/embedding") == list(range(8))
    assert run.steps("validation/activations/dense") == list(range(8))
    assert run.steps("inference/activations/dense") == list(range(4))
    assert [v for _, v in run.scalars["batch_size"]] == [8, 8, 8, 3] * 2
    assert run.steps("loss") == list(range(8))


@pytest.mark.parametrize("kind", ["nested", "plain", "masked", "subclassed"])
def test_the_numbers_stay(daemon, kind):
    def train(callbacks):
        x, y = data(batches=6)
        model = made(KINDS[kind], jit_compile=True, metrics=["mae"])
        history = model.fit(x, y, batch_size=8, epochs=2, validation_split=0.2, verbose=0,
                            callbacks=callbacks)
        return model.get_weights(), history.history

    weights, history = train([callback(daemon)])
    twin_weights, twin_history = train([])
    for name, values in history.items():
        np.testing.assert_allclose(values, twin_history[name], rtol=1e-5)
    for ours, theirs in zip(weights, twin_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_every_fourth_step(daemon):
    x, y = data(batches=9)
    watch = callback(daemon, every=4)
    made(plain, jit_compile=True).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    assert run.steps("gradients/out/kernel") == run.steps("updates/out/kernel") == [0, 4, 8]


def test_steps_per_execution_is_refused(daemon):
    x, y = data()
    with pytest.raises(ValueError, match="not with both"):
        made(plain, jit_compile=True, steps_per_execution=2).fit(
            x, y, verbose=0, callbacks=[callback(daemon)])


def test_the_summary_of_everything():
    """Zeros, subnormals, infinities, NaN, and both signs, counted as numpy counts them."""
    from embmon import _keras_graph

    wide = np.random.default_rng(1).normal(size=1000) * 10.0 ** np.arange(-40, 10, 0.05)
    values = np.concatenate([wide, [0.0, -0.0, 1e-45, -1e-45, np.inf, np.inf, -np.inf, np.nan,
                                    3.4e38]])
    values = values.astype("float32")
    compiled = tf.function(_keras_graph.buckets_and_numbers, jit_compile=True)
    counts, numbers = (x.numpy() for x in compiled(tf.constant(values), tf.constant(7)))
    summary = _keras_graph.summary_of(counts, numbers)
    finite = values[np.isfinite(values)].astype(np.float64)
    assert (summary.count, summary.zeros, summary.nans, summary.positive_infinities,
            summary.negative_infinities) == (len(values), int((finite == 0).sum()), 1, 2, 1)
    assert (summary.min, summary.max) == (finite.min(), finite.max())
    np.testing.assert_allclose(summary.square_sum, (finite ** 2).sum(), rtol=1e-12)
    for sign, first, found in ((1, summary.positive_first, summary.positive_counts),
                               (-1, summary.negative_first, summary.negative_counts)):
        chosen = values[np.isfinite(values) & (values * sign > 0)]
        index = np.abs(chosen).view(np.uint32) >> 20
        expected = np.bincount(index, minlength=2040)
        made_counts = np.zeros(2040, int)
        made_counts[first:first + len(found)] = found
        assert made_counts.tolist() == expected.tolist()
