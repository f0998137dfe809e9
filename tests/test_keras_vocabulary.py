"""vocabulary= of the callback: ids with their words in the alerts of a training."""

import numpy as np
import pytest

from keras_models import (LENGTH, ROWS, WIDTH, callback, data, keras, layers, made, nested, plain, tf)
from keras_spy import MODES, alerts_of

WORDS = [f"word {n}" for n in range(ROWS)] + ["dress | of\nsilk"]


def past_the_table(x):
    x = x.copy()
    x[1, 2] = ROWS
    return x


@pytest.mark.parametrize("mode", MODES)
def test_an_id_is_told_with_its_word(daemon, mode):
    """To on_alert and in alerts.jsonl, in every way that Keras runs a step."""
    x, y = data()
    told = []
    watch = callback(daemon, vocabulary=WORDS, on_alert=told.append)
    model = made(plain, **MODES[mode])
    try:
        model.fit(past_the_table(x), y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch])
    except tf.errors.InvalidArgumentError:
        assert mode != "compiled"  # XLA says nothing
    sentence = f'id {ROWS} ("dress | of\ufffdsilk") '
    assert [a for a in told if a.detector == "ids_out_of_range"][0].summary.startswith(sentence)
    assert sentence in watch.summary()
    assert alerts_of(daemon, watch)["ids_out_of_range"][0]["summary"].startswith(sentence)


def test_each_table_has_its_own_words(daemon):
    x, y = data()
    watch = callback(daemon, vocabulary={
        "inner_model/embedding": {word: n for n, word in enumerate(WORDS)},
        "embedding_?": layers.StringLookup(vocabulary=[f"second {n}" for n in range(ROWS)])})
    made(nested, jit_compile=True).fit(past_the_table(x), y, batch_size=8, verbose=0,
                                       callbacks=[watch])
    summaries = {a["layer"]: a["summary"] for a in alerts_of(daemon, watch)["ids_out_of_range"]}
    assert summaries["inner_model/embedding"].startswith(f'id {ROWS} ("dress | of\ufffdsilk") ')
    assert summaries["inner_model/embedding_1"].startswith(f'id {ROWS} ("second {ROWS - 1}") ')


def test_the_padding_that_is_a_word(daemon):
    """The word of a row that is declared as padding, and that the model learns all the same."""
    x, y = data()
    x[:, 3:] = 0
    texts = layers.TextVectorization(vocabulary=["the", "dress"])  # [pad], [UNK], the, dress
    watch = callback(daemon, vocabulary=["the", *texts.get_vocabulary()[1:]])
    made(lambda: keras.Sequential([
        keras.Input((LENGTH,), dtype="int32"), layers.Embedding(ROWS, WIDTH, mask_zero=True),
        layers.Flatten(), layers.Dense(1)])).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    (alert,) = alerts_of(daemon, watch)["padding_row_gradient"]
    assert alert["summary"].startswith('row 0 ("the") of embedding')


def test_several_tables_must_be_told_apart_before_anything_is_trained(daemon):
    x, y = data()
    watch = callback(daemon, vocabulary=WORDS)
    model = made(nested)
    with pytest.raises(ValueError, match=r"there are 2 tables \(inner_model/embedding, "
                                         r"inner_model/embedding_1\): give each its words"):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert watch._monitor.counts["training"] == 0
    one = callback(daemon, run="one", vocabulary=WORDS, layers=["embedding_1"])
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[one])  # the only one that is watched
    assert not one._monitor.failed


def test_a_name_that_no_table_has_is_said(daemon, caplog):
    x, y = data()
    watch = callback(daemon, vocabulary={"embeding": WORDS})
    made(plain).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert "'plain' has no table 'embeding'; it has embedding" in caplog.text
    assert not alerts_of(daemon, watch)


def test_a_model_that_makes_its_tables_late(daemon, caplog):
    """Only the first step shows that there are two: the training goes on, the first keeps its words."""
    class Late(keras.Model):
        def __init__(self):
            super().__init__(name="late")
            self.tables = [layers.Embedding(ROWS, WIDTH, name="a")]
            self.out = layers.Dense(1)

        def build(self, shape):
            self.second = layers.Embedding(ROWS, WIDTH, name="b")
            super().build(shape)

        def call(self, x):
            return self.out(layers.Flatten()(self.tables[0](x) + self.second(x)))

    x, y = data()
    watch = callback(daemon, vocabulary=WORDS)
    made(Late).fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    assert "there are 2 tables" in caplog.text
    assert not watch._monitor.failed and watch._monitor.counts["training"] == 4


def test_words_change_nothing(daemon):
    x, y = data()

    def weights(callbacks):
        model = made(plain)
        model.fit(x, y, batch_size=8, verbose=0, callbacks=callbacks)
        return model.get_weights()

    watch = callback(daemon, vocabulary=WORDS)
    for ours, theirs in zip(weights([watch]), weights([])):
        assert np.array_equal(ours, theirs)
