"""Client.post_ids, post_fed and post_shape: what arrives, judged by numpy."""

import array
import math
import os
import sys
import time

import numpy as np
import pytest

from harness import BUILD, ROOT, wait_for
from recorder import Recorder

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402

try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = None

DTYPES = {"float32": 1, "float64": 2, "float16": 3, "bfloat16": 4, "int8": 5, "int16": 6,
          "int32": 7, "int64": 8}
EXACT = {"float16": 2.0**11, "bfloat16": 2.0**8, "float32": 2.0**24, "float64": 2.0**53}
ROWS = {"table": 100, "large": 50_000, "unknown": 0, "padded": 100, "large_padded": 50_000}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("EMBMON_RUN", "EMBMON_ADDRESS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


class Posts:
    """A client with the tables of ROWS, and the messages that arrive, one by one."""

    def __init__(self, recorder):
        self.recorder = recorder
        self.client = embmon.Client(run="r", address=recorder.address)
        for path, rows in ROWS.items():
            self.client.layer(path, "embedding", rows=rows, columns=2,
                              padding_id=0 if "padded" in path else None)
        self.taken = {"Ids": 0, "Shape": 0}

    def next(self, kind):
        index = self.taken[kind]
        self.taken[kind] += 1
        return wait_for(lambda: self.recorder.of(kind)[index:], kind)[0]

    def stats(self, path, ids, **others):
        assert self.client.post_ids(path, 0, ids, **others)
        return self.next("Ids").stats


@pytest.fixture
def posts():
    with Recorder() as recorder:
        made = Posts(recorder)
        yield made
        made.client.close(0)


# ---- what numpy says of the same ids

def whole(values):
    """Truncated toward zero, as Python ints; None for what is no number."""
    if values.dtype.kind in "iu":
        return [int(v) for v in values.ravel()]
    wide = values.astype(np.float64).ravel()
    return [int(v) if np.isfinite(v) else None for v in wide]


def judged(values, rows, padding, mask=None, length=0):
    ids = whole(values)
    out = {"count": len(ids), "sequence_length": length}
    pad = [padding is not None and i == padding for i in ids]
    outside = [(float(-i) if i < 0 else float(i) - (rows - 1.0), k) for k, i in enumerate(ids)
               if i is not None and not pad[k] and (i < 0 or 0 < rows <= i)]
    out["negative"] = sum(ids[k] < 0 for _, k in outside)
    out["beyond"] = len(outside) - out["negative"]
    if outside:
        worst = max(outside, key=lambda one: (one[0], -one[1]))[1]
        out["worst"], out["worst_position"] = float(ids[worst]), worst
    if values.dtype.name in EXACT:
        wide = values.astype(np.float64).ravel()
        odd = np.flatnonzero(~np.isfinite(wide) | (np.trunc(wide) != wide))
        out["fractional"] = len(odd)
        if len(odd):
            out["fractional_value"], out["fractional_position"] = wide[odd[0]], odd[0]
        large = np.flatnonzero(np.isfinite(wide) & (np.abs(wide) >= EXACT[values.dtype.name]))
        out["inexact"] = len(large)
        if len(large):
            out["inexact_value"], out["inexact_position"] = wide[large[0]], large[0]
    out["padded"] = sum(pad)
    if mask is not None:
        out["masked"] = len(ids)
        if padding is not None:
            wrong = np.flatnonzero((np.ravel(mask) == 0) != np.array(pad))
            out["mismatched"] = len(wrong)
            out["mismatch_position"] = wrong[0] if len(wrong) else 0
    valid = [i for k, i in enumerate(ids)
             if i is not None and not pad[k] and 0 <= i < (rows or 2**63 - 1)]
    unique, counts = np.unique(np.array(valid, np.int64), return_counts=True)
    out["unique"] = len(unique)
    order = np.lexsort((unique, -counts))[:8]
    out["busiest_ids"], out["busiest_counts"] = unique[order].tolist(), counts[order].tolist()
    out["unique_error"] = out["busiest_error"] = 0
    if length and ids:
        out |= judged_sequences(np.array(pad).reshape(-1, length), values.reshape(-1, length))
    return out


def judged_sequences(pad, values):
    empty = pad.all(axis=1)
    ids = ~pad[~empty]
    lengths = ids.sum(axis=1)
    raw = values.view(f"u{values.dtype.itemsize}")
    return {
        "sequences": len(pad), "empty": empty.sum(), "full": (~pad).all(axis=1).sum(),
        "empty_sequence": empty.argmax() if empty.any() else 0,
        "leading": (~ids[:, 0]).sum(), "trailing": (~ids[:, -1]).sum(),
        "length_min": lengths.min() if len(lengths) else 0,
        "length_max": lengths.max() if len(lengths) else 0,
        "varied": (raw != raw[0]).any(axis=1).sum()}


def assert_same(stats, expected):
    for field in stats.DESCRIPTOR.fields:
        if field.name == "rows_seen":
            continue
        ours, theirs = getattr(stats, field.name), expected.get(field.name, 0)
        if field.name.startswith("busiest_") and field.name != "busiest_error":
            ours, theirs = list(ours), theirs or []
        elif isinstance(ours, float) and math.isnan(ours):
            ours, theirs = "nan", "nan" if math.isnan(theirs) else theirs
        assert ours == theirs, field.name


def batches(name, generator, rows):
    """Batches of one dtype: tame ones, ones with padding in every place, wild ones."""
    kind = bfloat16 if name == "bfloat16" else np.dtype(name)
    top = {"int8": 127, "float16": 2000, "bfloat16": 250}.get(name, 10**6)
    for shape in [(1,), (700,), (64, 1), (33, 12), (3, 700), (40, 5, 4), (0,), (0, 5)]:
        high = min(top, (rows or 60_000) + 20)
        ids = generator.integers(0, high, shape)
        yield ids.astype(kind)
        ids[generator.random(shape) < 0.4] = 0
        yield ids.astype(kind)
        yield (ids - 3).astype(kind)
        if np.dtype(kind).kind != "i":
            wild = ids * generator.choice([1, 1, 1, 0.5, -1.25, 1e4], shape)
            wild[generator.random(shape) < 0.05] = np.nan
            wild[generator.random(shape) < 0.05] = np.inf
            with np.errstate(over="ignore"):
                yield wild.astype(kind)
        elif np.dtype(kind).itemsize == 8:
            yield generator.integers(-2**63, 2**63 - 1, shape, np.int64)


@pytest.mark.parametrize("path", sorted(ROWS))
@pytest.mark.parametrize("name", sorted(DTYPES))
def test_numpy_counts_the_same(posts, name, path):
    if name == "bfloat16" and bfloat16 is None:
        pytest.skip("no ml_dtypes")
    generator = np.random.default_rng([DTYPES[name], ROWS[path], "padded" in path])
    padding = 0 if "padded" in path else None
    expected = []
    for number, ids in enumerate(batches(name, generator, ROWS[path])):
        mask = None
        if number % 2:
            mask = ids.astype(np.float64) != 0
            mask ^= generator.random(mask.shape) < 0.01
        length = ids.shape[-1] if ids.ndim > 1 else 0
        expected.append(judged(ids, ROWS[path], padding, mask, length))
        assert posts.client.post_ids(path, number, ids, mask=mask)
    for number, one in enumerate(expected):
        message = posts.next("Ids")
        assert (message.step, message.dtype, message.fed) == (number, DTYPES[name], False)
        assert_same(message.stats, one)


def test_many_distinct_ids_are_counted_exactly(posts):
    generator = np.random.default_rng(4)
    ids = (generator.pareto(0.7, 200_000) * 100).astype(np.int64) % 50_000
    assert_same(posts.stats("large", ids), judged(ids, 50_000, None))


def test_rows_seen_are_the_distinct_rows_of_the_epoch(posts):
    generator = np.random.default_rng(5)
    for epoch in range(2):
        seen = set()
        for _ in range(5):
            ids = generator.integers(-5, 60_000, 2000, np.int32)
            seen |= set(ids[(ids > 0) & (ids < 50_000)].tolist())
            assert posts.stats("large_padded", ids).rows_seen == len(seen)
        posts.client.phase("validation")
        assert posts.stats("large_padded", ids).rows_seen == 0
        posts.client.phase("training")
        posts.client.epoch(epoch)


def test_arrays_of_any_make(posts):
    expected = judged(np.array([[1, 2, 2], [0, 3, 200]], np.int64), 100, 0, None, 3)
    plain = np.array([[1, 2, 2], [0, 3, 200]])
    for ids in [plain, plain.astype(">i4"), np.asfortranarray(plain), plain.astype(np.uint8),
                plain.astype(np.uint16), plain.astype(np.uint32), plain.astype(np.uint64),
                np.repeat(plain, 2, axis=1)[:, ::2], memoryview(plain)]:
        assert_same(posts.stats("padded", ids), expected)
    flat = [1, 2, 2, 0, 3, 200]
    for ids in [array.array("i", flat), array.array("Q", flat), bytes(flat)]:
        assert_same(posts.stats("padded", ids, sequence_length=3), expected)
    assert_same(posts.stats("padded", plain, sequence_length=0),
                judged(plain, 100, 0, None, 0))


def test_torch_tensors(posts):
    torch = pytest.importorskip("torch")
    plain = np.array([[1, 0], [5, 6]])
    for dtype in (torch.int64, torch.int32, torch.uint8):
        assert_same(posts.stats("padded", torch.tensor(plain, dtype=dtype),
                                mask=torch.tensor(plain != 0)),
                    judged(plain, 100, 0, plain != 0, 2))
    assert_same(posts.stats("padded", torch.tensor([True, False])),
                judged(np.array([1, 0]), 100, 0))


def test_bool_and_unsigned_ids_keep_their_values(posts):
    assert posts.stats("table", np.array([255, 1], np.uint8)).worst == 255
    assert posts.stats("table", np.array([65535], np.uint16)).worst == 65535
    assert posts.stats("table", np.array([2**32 - 1], np.uint32)).worst == 2**32 - 1
    beyond = posts.stats("table", np.array([2**64 - 1, 3], np.uint64))
    assert (beyond.beyond, beyond.worst, beyond.unique) == (1, 2.0**63, 1)
    assert list(posts.stats("table", np.array([True, False, True])).busiest_ids) == [1, 0]


@pytest.mark.parametrize("mask", [
    np.array([[1, 0], [1, 1]], bool), np.array([[1, 0], [1, 1]], np.int64),
    np.array([[0.5, 0], [1, np.nan]], np.float32), np.array([[1, 1], [0, 1]], bool).T,
    bytes([1, 0, 7, 1]), bytearray([1, 0, 1, 255])], ids=lambda mask: type(mask).__name__)
def test_masks_of_any_make(posts, mask):
    stats = posts.stats("padded", np.array([[4, 0], [0, 1]]), mask=mask)
    assert (stats.masked, stats.mismatched, stats.mismatch_position) == (4, 1, 2)


def test_fed_ids_are_told_from_those_of_the_layer(posts):
    assert posts.client.post_fed("padded", "model/input1", 3, np.array([[9.99, 0]]))
    message = posts.next("Ids")
    assert (message.fed, message.input, message.step, message.dtype) == (True, "model/input1", 3, 2)
    assert_same(message.stats, judged(np.array([[9.99, 0]]), 100, 0, None, 2))
    assert message.stats.rows_seen == 0
    assert posts.client.post_fed("padded", "", 3, np.array([1, 2]), sequence_length=2)
    assert (message := posts.next("Ids")).input == "" and message.stats.sequences == 1
    with pytest.raises(embmon.InvalidNameError):
        posts.client.post_fed("padded", "a//b", 3, np.array([1]))
    with pytest.raises(embmon.InvalidNameError):
        posts.client.post_fed("padded", "a" * 256, 3, np.array([1]))


def test_what_is_wrong_is_said(posts):
    client, ids = posts.client, np.array([1, 2, 3])
    kernel = client.variable("table", "kernel")
    for error, call in [
            (embmon.InvalidArgumentError, lambda: client.post_ids("table", -1, ids)),
            (embmon.InvalidArgumentError, lambda: client.post_ids("table", 0, ids,
                                                                  sequence_length=2)),
            (embmon.InvalidArgumentError, lambda: client.post_ids("table", 0, ids, mask=[1, 0])),
            (embmon.InvalidArgumentError, lambda: client.post_ids("table", 0, ids, mask=bytes(4))),
            (embmon.UnknownTargetError, lambda: client.post_ids(kernel, 0, ids)),
            (embmon.UnknownTargetError, lambda: client.post_ids(999, 0, ids)),
            (embmon.DtypeError, lambda: client.post_ids("table", 0, [1, 2])),
            (embmon.DtypeError, lambda: client.post_ids("table", 0, np.array(["a"]))),
            (embmon.DtypeError, lambda: client.post_ids("table", 0, np.array([1j]))),
            (embmon.InvalidArgumentError, lambda: client.post("table", "ids", 0, ids))]:
        with pytest.raises(error):
            call()
    assert client.stats().produced == 0


def test_shapes(posts):
    client = posts.client
    kernel = client.variable("table", "kernel")
    assert client.post_shape("table", 3, "input", (None, 12), index=1, inputs=2, axis=-1,
                             dtype="float32")
    message = posts.next("Shape")
    assert (message.role, message.index, message.inputs, message.axis, message.dtype) == \
        (1, 1, 2, -1, 1)
    assert list(message.dims) == [-1, 12] and message.step == 3
    assert client.post_shape(kernel, 3, "gradient", [4, 5])
    message = posts.next("Shape")
    assert (message.target, message.role, message.inputs, message.dtype) == (kernel, 3, 0, 0)
    assert client.post_shape("table", 3, "output", ())
    assert list(posts.next("Shape").dims) == []
    for arguments in [("other", [1]), ("input", [1]), ("output", [1], 1), ("output", [1], 0, 1),
                      ("output", [-2]), ("output", [1] * 9), ("output", [1], 0, 0, 8),
                      ("input", [1], 0, 65)]:
        with pytest.raises(embmon.InvalidArgumentError):
            client.post_shape("table", 3, *arguments)
    with pytest.raises(embmon.UnknownTargetError):
        client.post_shape(999, 3, "output", [1])
    with pytest.raises(embmon.DtypeError):
        client.post_shape("table", 3, "output", [1], dtype="complex64")


def test_ids_are_wanted_as_activations_are(posts):
    assert posts.client.wanted("table", "ids") is True
    with pytest.raises(embmon.InvalidArgumentError):
        posts.client.wanted("table", "shapes")


def test_a_hundred_thousand_ids_take_less_than_a_millisecond(posts):
    """Generous for a busy machine: the best of many posts, in the time of this thread alone."""
    generator = np.random.default_rng(6)
    ids = (generator.pareto(1, 100_000).reshape(-1, 100) * 50).astype(np.int64) % 50_000
    best = math.inf
    for step in range(30):
        start = time.thread_time()
        assert posts.client.post_ids("large_padded", step, ids)
        best = min(best, time.thread_time() - start)
    assert best < 1e-3


def test_embmond_takes_them(daemon):
    """What the client makes of any ids passes the daemon's checks."""
    with embmon.Client(run="taken", address=f"unix:{daemon.socket}") as client:
        client.layer("table", "embedding", rows=100, columns=2, padding_id=0)
        for step, ids in enumerate(batches("float32", np.random.default_rng(7), 100)):
            client.post_fed("table", "input1", step, ids)
            client.post_ids("table", step, np.nan_to_num(ids, posinf=1e9).astype(np.int64), ids)
            client.post_shape("table", step, "output", ids.shape + (2,))
            client.step(step)
        wait_for(lambda: client.stats().in_flight == 0, "the answers")
        stats = client.stats()
    assert stats.acked == stats.produced > 100 and stats.rejected == 0
