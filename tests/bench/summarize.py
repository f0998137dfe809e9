"""How fast a tensor is summarised, beside what bounds it and what others do with it, in one run.

    make bench          about a minute; make bench-quick: some seconds, fewer rounds

One thread each. All contestants of a table take turns, ROUNDS times, so that what else the machine
does hits them alike; a figure is the least of its rounds and, behind it, their median. What is
warm was read just before by the same contestant. The peers make 64 buckets; ours are 4,080, and the
moments, zeros, NaNs and infinities beside them.

* sum: one sum with vectors of that level, as a compiler makes it of a loop
* ceiling: the same with four sums side by side: as fast as the memory gives at that level

Prints Markdown, and at its end the goals with what was measured. A goal that is missed changes
nothing about the exit status.
"""
import argparse
import ctypes
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(ROOT / "build" / "libembmon.so"))
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy  # noqa: E402

from goals import Goals  # noqa: E402

LEVELS = ("base", "avx2", "avx512")
DTYPES = {"f32": 1, "f64": 2, "f16": 3, "bf16": 4}
BINS = 64


def library():
    lib = ctypes.CDLL(str(ROOT / "build" / "bench" / "libsummarize.so"))
    for name in ("summarize", "sampled", "rows", "sum", "ceiling", "post", "lend", "gradient", "ids",
                 "units", "increments", "stores", "pairs", "moments"):
        getattr(lib, f"bench_{name}").restype = ctypes.c_double
    return lib


LIB = library()
HERE = [level for level in range(len(LEVELS)) if LIB.bench_has_level(level)]
BEST = HERE[-1]


def at(array):
    return ctypes.c_void_p(array.ctypes.data)


def summarize(array, level, dtype="f32", repeat=1):
    """A call that returns seconds of one summary."""
    pointer, count = at(array), ctypes.c_size_t(array.size)
    return lambda: LIB.bench_summarize(pointer, count, DTYPES[dtype], level, repeat)


def plain(name, array, level):
    pointer, count = at(array), ctypes.c_size_t(array.size)
    return lambda: getattr(LIB, f"bench_{name}")(pointer, count, level)


def timed(call):
    def run():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    return run


def gradient(n, zero_rows=0.0, width=64):
    random = numpy.random.default_rng(n)
    values = random.standard_normal(n, dtype=numpy.float32) * numpy.float32(1e-2)
    if zero_rows:
        values.reshape(-1, width)[random.random(n // width) < zero_rows] = 0
    return values


def as_dtype(values, dtype):
    if dtype == "bf16":
        return (values.view(numpy.uint32) >> 16).astype(numpy.uint16)
    return values.astype({"f32": "f4", "f64": "f8", "f16": "f2"}[dtype])


# ---- running

class Figures:
    """Seconds of every round, by contestant."""

    def __init__(self, contestants, rounds, bursts=3):
        self.times = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, call in contestants.items():
                self.times[name].append(min(call() for _ in range(bursts if self.fast(name) else 1)))

    def fast(self, name):
        return not self.times[name] or self.times[name][-1] < 5e-3

    def least(self, name):
        return min(self.times[name])

    def median(self, name):
        return statistics.median(self.times[name])

    def ratio(self, name, other):
        """How many times as long, of the least and of the medians."""
        return (self.least(name) / self.least(other), self.median(name) / self.median(other))


def show(title, figures, count, size, base):
    print(f"\n{title}\n")
    print(f"| | least, µs | median, µs | GB/s | ns/element | × {base} | median × |")
    print("|---|---|---|---|---|---|---|")
    for name in figures.times:
        least, median = figures.least(name), figures.median(name)
        ratios = figures.ratio(name, base)
        print(f"| {name} | {1e6 * least:.1f} | {1e6 * median:.1f} | {1e-9 * count * size / least:.2f} "
              f"| {1e9 * least / count:.3f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


GOALS = Goals()


def goal(what, wanted, value, median, unit="×", least_is_best=True, aside=False):
    GOALS.add(what, wanted, unit, value, median, least_is_best, aside)


# ---- the tables

def peers(values, folder):
    """Others' histograms of the same array: name, call."""
    calls = {"numpy.histogram": timed(lambda: numpy.histogram(values, BINS))}
    try:
        import torch
        torch.set_num_threads(1)
        tensor = torch.from_numpy(values)
        calls["torch.histc"] = timed(lambda: torch.histc(tensor, BINS))
    except ImportError:
        print("torch is not installed: left out", file=sys.stderr)
    try:
        import tensorflow
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        writer = tensorflow.summary.create_file_writer(folder)

        def histogram():
            with writer.as_default():
                tensorflow.summary.histogram("values", values, step=0, buckets=BINS)
        calls["tf.summary.histogram"] = timed(histogram)
    except ImportError:
        print("tensorflow is not installed: left out", file=sys.stderr)
    return calls


def dense(rounds, folder):
    values = gradient(10**6)
    contestants = {}
    for level in HERE:
        name = LEVELS[level]
        contestants |= {f"sum, {name}": plain("sum", values, level),
                        f"ceiling, {name}": plain("ceiling", values, level),
                        f"moments alone, {name}": plain("moments", values, level),
                        f"summary, {name}": summarize(values, level)}
    contestants |= {"counts alone": plain("increments", values, BEST),
                    "of these the stores alone": plain("stores", values, BEST),
                    "counts of pairs alone, places made before": plain("pairs", values, BEST)}
    others = peers(values, folder)
    figures = Figures(contestants | others, rounds)
    best, base = f"summary, {LEVELS[BEST]}", f"ceiling, {LEVELS[BEST]}"
    show("10^6 f32, normal, warm", figures, values.size, 4, base)
    goal(f"summary ÷ sum of {LEVELS[0]}, as the library is compiled", 4,
         *figures.ratio(best, f"sum, {LEVELS[0]}"), aside=True)
    for level in HERE:
        name = LEVELS[level]
        goal(f"10^6 f32, summary ÷ sum, {name}", 4,
             *figures.ratio(f"summary, {name}", f"sum, {name}"))
        goal(f"summary ÷ ceiling, {name}", 4,
             *figures.ratio(f"summary, {name}", f"ceiling, {name}"), aside=True)
    for other, times in {"numpy.histogram": 10, "torch.histc": 6, "tf.summary.histogram": 100}.items():
        if other in figures.times:
            goal(f"the same, {other} ÷ summary", times, *figures.ratio(other, best),
                 least_is_best=False)
    rates = [4e-9 * values.size / time(f"summary, {LEVELS[0]}")
             for time in (figures.least, figures.median)]
    goal("the same, without AVX", 3, *rates, unit="GB/s", least_is_best=False)


def lying(values, offset):
    """The same, so many bytes behind a line of the cache. TensorFlow's and PyTorch's tensors lie at 0, large
    arrays of numpy at 16."""
    room = numpy.empty(values.nbytes + 128, numpy.uint8)
    begin = -room.ctypes.data % 64 + offset
    there = room[begin:begin + values.nbytes].view(values.dtype)
    there[:] = values
    return there


def zero_rows(rounds):
    width, whole = 64, lying(gradient(10**6), 0)
    table = lying(gradient(10**6, 0.7, width), 0)
    behind, table_behind = lying(whole, 16), lying(table, 16)
    contestants = {"dense": summarize(whole, BEST), "70 % zero rows": summarize(table, BEST),
                   "dense, 16 bytes behind a line": summarize(behind, BEST),
                   "70 %, 16 bytes behind a line": summarize(table_behind, BEST)}
    for name, values in (("dense, by touched rows", whole), ("70 %, by touched rows", table)):
        pointer = at(values)
        contestants[name] = lambda pointer=pointer, rows=values.size // width: LIB.bench_rows(
            pointer, ctypes.c_size_t(rows), ctypes.c_size_t(width), DTYPES["f32"])
    figures = Figures(contestants, rounds)
    show(f"10^6 f32, a table's gradient with rows of {width}", figures, whole.size, 4, "dense")
    goal("a table's gradient with 70 % zero rows, rate ÷ dense", 1.5, *figures.ratio("dense", "70 % zero rows"),
         least_is_best=False)


def large(rounds):
    """What no cache holds."""
    values = gradient(10**7)
    contestants = {}
    for level in HERE:
        name = LEVELS[level]
        pointer, count = at(values), ctypes.c_size_t(values.size)
        contestants |= {
            f"sum, {name}": plain("sum", values, level),
            f"ceiling, {name}": plain("ceiling", values, level),
            f"summary, {name}": summarize(values, level),
            f"sampled, {name}": lambda level=level: LIB.bench_sampled(pointer, count, DTYPES["f32"],
                                                                      level)}
    figures = Figures(contestants, rounds, bursts=1)
    show("10^7 f32, normal", figures, values.size, 4, f"ceiling, {LEVELS[BEST]}")
    for level in HERE:
        name = LEVELS[level]
        goal(f"10^7, sampled ÷ sum, {name}", 1.7,
             *figures.ratio(f"sampled, {name}", f"sum, {name}"))


def dtypes(rounds):
    values = gradient(10**6)
    for level in HERE:
        arrays = {name: as_dtype(values, name) for name in DTYPES}
        figures = Figures({name: summarize(array, level, name) for name, array in arrays.items()},
                          rounds)
        show(f"10^6 elements of each dtype, {LEVELS[level]}; GB/s as if f32", figures, values.size, 4,
             "f32")
        for name in ("f64", "f16", "bf16"):
            goal(f"elements a second, {name} ÷ f32, {LEVELS[level]}", 0.5,
                 *figures.ratio("f32", name), least_is_best=False, aside=level != BEST)


def small(rounds):
    import embmon

    sizes = (1, 16, 64, 200, 256)
    values = gradient(10**6)
    contestants = {}
    client = embmon.Client(address="unix:/nonexistent/embmond.sock", run="bench")
    layer = client.layer("layer")

    def post(array, repeat=100):
        time.sleep(0.06)  # the private thread is idle again
        start = time.perf_counter()
        for _ in range(repeat):
            client.post(layer, "gradient", 1, array)
        return (time.perf_counter() - start) / repeat

    def lend(array, repeat=10):
        while not client.returned():
            time.sleep(0.001)
        posts = [(layer, "gradient", array)] * repeat
        start = time.perf_counter()
        client.lend(1, posts)
        return (time.perf_counter() - start) / repeat

    for n in sizes:
        part = values[:n]
        contestants[f"summary of {n}"] = summarize(part, BEST, repeat=1000)
        contestants[f"embmon_post() of {n}"] = lambda part=part: LIB.bench_post(
            at(part), ctypes.c_size_t(part.size), 200)
        contestants[f"Client.post() of {n}"] = lambda part=part: post(part)
    for n in (256, 10**6):
        part = values[:n]
        contestants.setdefault(f"embmon_post() of {n}", lambda part=part: LIB.bench_post(
            at(part), ctypes.c_size_t(part.size), 10))
        contestants.setdefault(f"Client.post() of {n}", lambda part=part: post(part, 10))
        contestants[f"embmon_lend() of {n}"] = lambda part=part: LIB.bench_lend(
            at(part), ctypes.c_size_t(part.size), 10)
        contestants[f"Client.lend() of {n}"] = lambda part=part: lend(part)
    figures = Figures(contestants, rounds)
    client.close(0)
    print("\nSmall tensors of f32, and what is lent; no daemon there\n\n| | least, µs | median, µs |\n|---|---|---|")
    for name in contestants:
        print(f"| {name} | {1e6 * figures.least(name):.2f} | {1e6 * figures.median(name):.2f} |")
    for name, wanted in (("summary of 256", 0.5), ("embmon_post() of 256", 0.5),
                         ("Client.post() of 256", 6)):
        goal(name, wanted, 1e6 * figures.least(name), 1e6 * figures.median(name), unit="µs")


STEP_ROWS, STEP_WIDTH, STEP_BATCH, STEP_LENGTH = 20000, 64, 64, 100


def step_contestants():
    """What a step of the sentiment model of keras_step.py posts of its table: name, elements, call; and
    beside each kind the plain kernel over as many bytes."""
    random = numpy.random.default_rng(1)
    count = STEP_BATCH * STEP_LENGTH
    size, width, length = (ctypes.c_size_t(n) for n in (count, STEP_WIDTH, STEP_LENGTH))
    rows = ctypes.c_uint64(STEP_ROWS)
    values, few = gradient(count * STEP_WIDTH), gradient(count)
    batches = {"any ids": random.integers(0, STEP_ROWS, count, dtype=numpy.int32),
               "ids of text": ((random.zipf(1.2, count) - 1) % STEP_ROWS).astype(numpy.int32)}
    batches["ids of a vocabulary of 10^6"] = (batches["any ids"] * 50).astype(numpy.int32)
    assert LIB.bench_step_open(ctypes.c_uint64(50 * STEP_ROWS))

    yield "plain kernel over the gradient", values.size, summarize(values, BEST)
    for name, ids in batches.items():
        yield (f"gradient, {name}", values.size,
               lambda ids=ids: LIB.bench_gradient(at(values), at(ids), size, width))
    yield "output: its summary", values.size, summarize(values, BEST)
    yield ("output of a layer that is no table: its units beside it", values.size,
           lambda: LIB.bench_units(at(values), ctypes.c_size_t(STEP_BATCH), length, width))
    yield "plain kernel over the ids", few.size, summarize(few, BEST)
    for name, ids in batches.items():
        rows = ctypes.c_uint64(STEP_ROWS * (50 if "10^6" in name else 1))
        for seen, padded, how in ((0, 0, "as fed"), (1, 0, "as looked up"), (1, 1, "with padding")):
            yield (f"ids {how}, {name}", few.size,
                   lambda ids=ids, rows=rows, seen=seen, padded=padded: LIB.bench_ids(
                       at(ids), size, length, rows, seen, padded))


def step(rounds):
    """Warm; after 16 MB of others' were read and written, as an optimizer does; and after 64 MB, which
    leave nothing in any cache."""
    def cooled(call, megabytes):
        def run():
            if megabytes:
                LIB.bench_cool(ctypes.c_size_t(megabytes))
            return call()
        return run

    parts, states = list(step_contestants()), {"warm": 0, "16 MB later": 16, "64 MB later": 64}
    figures = Figures({f"{name}, {state}": cooled(call, megabytes) for name, _, call in parts
                       for state, megabytes in states.items()}, rounds)
    print(f"\nWhat a step posts of a table of {STEP_ROWS} × {STEP_WIDTH}, batch {STEP_BATCH} × {STEP_LENGTH}; "
          "least and median of the rounds, of the least ns an element and by the plain kernel over as many "
          f"bytes\n\n|{''.join(f' | {state}, µs | median | ns | ×' for state in states)} |\n"
          f"|---|{'---|' * 4 * len(states)}")
    for name, count, _ in parts:
        base = name if name.startswith("plain") else base
        cells = [name]
        for state in states:
            least, ratios = (figures.least(f"{name}, {state}"),
                             figures.ratio(f"{name}, {state}", f"{base}, {state}"))
            cells += [f"{1e6 * least:.1f}", f"{1e6 * figures.median(f'{name}, {state}'):.1f}",
                      f"{1e9 * least / count:.3f}", f"{ratios[0]:.2f}"]
        print(f"| {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--keep", help="a folder for what goals.py shows")
    parser.add_argument("--only", help="one table alone: dense, zero_rows, large, dtypes, small, step")
    options = parser.parse_args()
    rounds = 5 if options.quick else 25
    print(f"embmond's summaries on this machine: {', '.join(LEVELS[level] for level in HERE)}; "
          f"{rounds} rounds, one thread each")
    with tempfile.TemporaryDirectory(prefix="embmon-bench-") as folder:
        parts = {"dense": lambda: dense(rounds, folder), "zero_rows": lambda: zero_rows(4 * rounds),
                 "large": lambda: large(2 * rounds), "dtypes": lambda: dtypes(4 * rounds),
                 "small": lambda: small(rounds), "step": lambda: step(20 * rounds)}
        for name, part in parts.items():
            if options.only in (None, name):
                part()
    if not options.only:
        GOALS.end("summaries", options.keep)


if __name__ == "__main__":
    main()
