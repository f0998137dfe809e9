"""Summaries judged by numpy: moments to 1e-6, buckets exactly, quantiles to one bucket."""
import os
import pathlib
import subprocess

import numpy
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / os.environ.get("EMBMON_BUILD", "build") / "tools" / "summarize"

DTYPES = {"f32": 1, "f64": 2, "f16": 3, "bf16": 4, "i8": 5, "i16": 6, "i32": 7, "i64": 8}
STORAGE = {"f32": numpy.uint32, "f64": numpy.uint64, "f16": numpy.uint16, "bf16": numpy.uint16,
           "i8": numpy.int8, "i16": numpy.int16, "i32": numpy.int32, "i64": numpy.int64}
FLOATS = ("f32", "f64", "f16", "bf16")
LEVELS = ("base", "avx2", "avx512")
DBL_MAX = numpy.finfo(numpy.float64).max
BUCKETS = 2040


@numpy.errstate(invalid="ignore")
def exact(raw, dtype):
    """The stored bits as f64 values (for i64: rounded, as the moments may be)."""
    if dtype == "f32":
        return raw.view(numpy.float32).astype(numpy.float64)
    if dtype == "f64":
        return raw.view(numpy.float64)
    if dtype == "f16":
        return raw.view(numpy.float16).astype(numpy.float64)
    if dtype == "bf16":
        return (raw.astype(numpy.uint32) << 16).view(numpy.float32).astype(numpy.float64)
    return raw.astype(numpy.float64)


def bucket_edges():
    """Edges from the definition: every 2^20th f32 from 0 up; 2^128 closes the last bucket."""
    bits = (numpy.arange(BUCKETS, dtype=numpy.uint32) << 20)
    low = bits.view(numpy.float32).astype(numpy.float64)
    return numpy.append(low, 2.0 ** 128)


EDGES = bucket_edges()


def buckets_of(raw, dtype):
    """The expected counts per sign, by integer operations, or in Python's integers for ints."""
    counts = {"-": {}, "+": {}}
    if dtype in FLOATS:
        values = exact(raw, dtype)
        finite = values[numpy.isfinite(values) & (values != 0)]
        magnitudes, signs = numpy.abs(finite), numpy.signbit(finite)
        at = numpy.clip(numpy.searchsorted(EDGES, magnitudes, side="right") - 1, 0, BUCKETS - 1)
        for sign, chosen in (("-", at[signs]), ("+", at[~signs])):
            places, numbers = numpy.unique(chosen, return_counts=True)
            counts[sign] = dict(zip(places.tolist(), numbers.tolist()))
        return counts
    for value in raw.tolist():
        if value == 0:
            continue
        magnitude = abs(value)
        exponent = magnitude.bit_length() - 1
        mantissa = (magnitude * 8 >> exponent) & 7
        place = (exponent + 127) * 8 + mantissa
        side = counts["-" if value < 0 else "+"]
        side[place] = side.get(place, 0) + 1
    return counts


def parse(lines):
    head = lines[0].split()
    names = ("count", "zeros", "nans", "positive_infinities", "negative_infinities")
    summary = dict(zip(names, map(int, head[:5])))
    summary |= dict(zip(("min", "max", "sum", "absolute_sum", "square_sum"),
                        map(float.fromhex, head[5:])))
    counts = {"-": {}, "+": {}}
    for line in lines[1:]:
        sign, place, number = line.split()
        counts[sign][int(place)] = int(number)
    return summary, counts


def summarise(raw, dtype, ftz=False, level=None):
    command = [TOOL, str(DTYPES[dtype])] + (["ftz"] if ftz else [])
    command += [f"level={LEVELS.index(level)}"] if level else []
    done = subprocess.run(command, input=raw.tobytes(), stdout=subprocess.PIPE)
    if done.returncode == 77:
        pytest.skip("this processor does not have that level")
    assert done.returncode == 0
    return parse(done.stdout.decode().splitlines())


def close(value, wanted, scale):
    return abs(value - wanted) <= 1e-6 * max(abs(scale), 1e-300)


def judge(raw, dtype, ftz=False, level=None):
    summary, counts = summarise(raw, dtype, ftz, level)
    values = exact(raw, dtype)
    finite = values[numpy.isfinite(values)]
    assert summary["count"] == raw.size
    assert summary["zeros"] == int((finite == 0).sum())
    assert summary["nans"] == int(numpy.isnan(values).sum())
    assert summary["positive_infinities"] == int((values == numpy.inf).sum())
    assert summary["negative_infinities"] == int((values == -numpy.inf).sum())
    assert counts == buckets_of(raw, dtype)
    if finite.size == 0:
        assert [summary[n] for n in ("min", "max", "sum", "absolute_sum", "square_sum")] == [0] * 5
        return
    assert summary["min"] == finite.min() and summary["max"] == finite.max()
    with numpy.errstate(over="ignore", under="ignore", invalid="ignore"):
        absolute = min(numpy.abs(finite).sum(dtype=numpy.float64), DBL_MAX)
        squares = min(numpy.square(finite).sum(dtype=numpy.float64), DBL_MAX)
        total = numpy.clip(finite.sum(dtype=numpy.float64), -DBL_MAX, DBL_MAX)
    if absolute < DBL_MAX:  # else it depends on the order
        assert close(summary["sum"], total, absolute)
    assert numpy.isfinite(summary["sum"])
    assert close(summary["absolute_sum"], absolute, absolute)
    assert close(summary["square_sum"], squares, squares)


def special(dtype):
    """Raw values at every edge there is: both zeros, subnormals, extremes, NaN payloads, ±inf."""
    if dtype in FLOATS:
        bits = {"f32": (23, 8), "f64": (52, 11), "f16": (10, 5), "bf16": (7, 8)}[dtype]
        mantissa, exponent = bits
        width = mantissa + exponent + 1
        chosen = set()
        for e in range(1 << exponent) if exponent <= 8 else [*range(0, 2047, 1), 2047]:
            for m in (0, 1, 2, (1 << mantissa) - 1, 1 << mantissa - 1, 1 << mantissa - 3,
                      (1 << mantissa - 3) - 1, (1 << mantissa - 3) + 1):
                chosen.add(e << mantissa | m)
        both = sorted(chosen | {v | 1 << width - 1 for v in chosen})
        return numpy.array(both, dtype=STORAGE[dtype])
    info = numpy.iinfo(STORAGE[dtype])
    chosen = {0, info.min, info.max, info.min + 1}
    for power in range(info.bits - 1):
        for near in (-1, 0, 1):
            for top in (8, 9, 11, 15):
                value = (top << power >> 3) + near
                chosen |= {v for v in (value, -value) if info.min <= v <= info.max}
    return numpy.array(sorted(chosen), dtype=STORAGE[dtype])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("ftz", [False, True], ids=["default", "ftz"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_edge_of_every_dtype(dtype, ftz, level):
    judge(special(dtype), dtype, ftz, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["f16", "bf16", "i8", "i16"])
def test_every_value_of_the_small_dtypes(dtype, level):
    width = 8 if dtype == "i8" else 16
    raw = numpy.arange(1 << width, dtype=numpy.uint32).astype(f"u{width // 8}")
    judge(raw.view(STORAGE[dtype]), dtype, level=level)


@pytest.mark.parametrize("ftz", [False, True], ids=["default", "ftz"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 511, 512, 513, 100_003])
def test_random_bits(dtype, count, ftz):
    random = numpy.random.default_rng(count)
    size = numpy.dtype(STORAGE[dtype]).itemsize
    raw = numpy.frombuffer(random.bytes(count * size), dtype=STORAGE[dtype])
    judge(raw, dtype, ftz)


@pytest.mark.parametrize("scale", [1e-42, 1e-20, 1e-6, 1.0, 1e6, 1e30])
def test_gradients_of_every_size(scale):
    random = numpy.random.default_rng(7)
    gradient = (random.standard_normal(50_000) * scale).astype(numpy.float32)
    gradient[random.random(50_000) < 0.3] = 0
    judge(gradient.view(numpy.uint32), "f32", ftz=True)
    judge((random.standard_normal(50_000) * scale).view(numpy.uint64), "f64", ftz=True)


def test_sums_saturate_and_never_become_nan():
    largest = numpy.array([DBL_MAX] * 9 + [-DBL_MAX] * 3 + [numpy.inf, numpy.nan])
    summary, _ = summarise(largest.view(numpy.uint64), "f64")
    assert summary["absolute_sum"] == DBL_MAX and summary["square_sum"] == DBL_MAX
    assert numpy.isfinite(summary["sum"])
    assert summary["min"] == -DBL_MAX and summary["max"] == DBL_MAX


@pytest.mark.parametrize("ftz", [False, True], ids=["default", "ftz"])
def test_quantiles_are_right_to_one_bucket(ftz):
    """The bucket that holds the q-th element by the counts is the one numpy's element lies in."""
    random = numpy.random.default_rng(3)
    values = (random.standard_normal(20_001) * 10.0 ** random.integers(-40, 30, 20_001)
              ).astype(numpy.float32)
    summary, counts = summarise(values.view(numpy.uint32), "f32", ftz)
    order = numpy.sort(values.astype(numpy.float64))
    line = [(-EDGES[place + 1], -EDGES[place], number)
            for place, number in sorted(counts["-"].items(), reverse=True)]
    line += [(0.0, 0.0, summary["zeros"])]
    line += [(EDGES[place], EDGES[place + 1], number)
             for place, number in sorted(counts["+"].items())]
    for q in (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0):
        rank = round(q * (order.size - 1))
        seen = 0
        for low, high, number in line:
            seen += number
            if seen > rank:
                assert low <= order[rank] <= high
                break


@pytest.mark.parametrize("dtype,kind", [("f32", numpy.float32), ("f64", numpy.float64),
                                        ("f16", numpy.float16)])
@pytest.mark.parametrize("vocabulary", [3, 50, 10**15])
def test_sparse_rows_equal_the_dense_gradient(dtype, kind, vocabulary):
    random = numpy.random.default_rng(vocabulary)
    rows, columns = 400, 5
    ids = random.integers(-vocabulary, vocabulary, rows, dtype=numpy.int64)
    values = random.standard_normal((rows, columns)).astype(kind)
    values[random.random(rows) < 0.3] = 0
    if vocabulary == 50:  # two that cancel: looked up, not touched
        ids[ids == 7] = 8
        ids[:2] = 7
        values[1] = -values[0]
    done = subprocess.run([TOOL, "rows", str(DTYPES[dtype]), str(rows), str(columns)],
                          input=ids.tobytes() + values.tobytes(), stdout=subprocess.PIPE,
                          check=True)
    lines = done.stdout.decode().splitlines()
    summary, counts = parse(lines[1:])
    distinct, inverse = numpy.unique(ids, return_inverse=True)
    dense = numpy.zeros((distinct.size, columns))
    for row, at in enumerate(inverse):  # in order, as a training step would add them
        dense[at] += values[row]
    touched = dense[(dense != 0).any(axis=1)]
    assert [int(n) for n in lines[0].split()] == [distinct.size, touched.shape[0]]
    assert summary["count"] == touched.size
    assert close(summary["square_sum"], numpy.square(touched).sum(), 
                 numpy.square(touched).sum())
    assert counts == buckets_of(touched.reshape(-1).view(numpy.uint64), "f64")
