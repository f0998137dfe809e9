"""What the Keras callback adds to a training step, beside what else shows gradients.

    build/venv/bin/python tests/bench/keras_step.py [--quick]
    build/venv/bin/python tests/bench/keras_step.py --calls    of the first model, what each posting call takes

A sentiment model (table of 20,000 x 64, batch 64 x 100) is trained in several ways, a fit of each in
turns: plain; with EmbmonCallback at every step, and with its defaults; with keras.callbacks.TensorBoard,
which writes histograms of the weights at the end of an epoch; with tf.summary.histogram of all
gradients at every step. Then a model whose step takes 50 ms and more, and what is posted of a table of
10^4 ... 10^6 rows and equal batches. The first epoch of each fit (tracing) is left out.

Two fits of the same model differ by some percent, because their memory lies elsewhere: more than what
is to be measured. So there are fits within which STRETCH steps of the graph that the callback has
traced and as many of the plain one take turns, on the same variables. By the formula: the share of
steps sampled x (median sampled - median unsampled step), as a part of the unsampled one; at every step,
of the plain steps of the same fit. By the clock: all time of the one, by all time of the other. Prints
Markdown tables.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from goals import Goals

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(ROOT / "build" / "libembmon.so"))
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", TF_ENABLE_ONEDNN_OPTS="0")

STEPS, BATCH, LENGTH = 60, 64, 100
STRETCH, WARM, COLD = 20, 40, 2  # steps; the first of all and of a stretch do not count
SENTIMENT, LARGE = (20000, 64, 64, 1), (20000, 128, 1024, 3)  # rows, width, units, layers of them


def model_and_data(kind, optimizer="adam", summaries=None):
    import keras
    import numpy
    import tensorflow as tf

    rows, width, units, depth = kind
    keras.utils.set_random_seed(1)
    entry = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(rows, width)(entry)
    if depth > 1:
        x = keras.layers.Conv1D(width, 5, activation="relu", padding="same")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    for _ in range(depth):
        x = keras.layers.Dense(units, activation="relu")(x)

    class Summarised(keras.Model):
        """With tf.summary.histogram of every gradient, of a sparse one its values."""

        def train_step(self, data):
            ids, labels = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(ids, labels, self(ids, training=True))
            grads = tape.gradient(loss, self.trainable_variables)
            with summaries.as_default(step=tf.cast(self.optimizer.iterations, tf.int64)):
                for grad, variable in zip(grads, self.trainable_variables):
                    tf.summary.histogram(variable.path, getattr(grad, "values", grad))
            self.optimizer.apply(grads, self.trainable_variables)
            return {"loss": loss}

    kind_of = Summarised if summaries else keras.Model
    model = kind_of(entry, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(optimizer, "binary_crossentropy")
    random = numpy.random.default_rng(1)
    ids = random.integers(0, rows, (STEPS * BATCH, LENGTH), dtype=numpy.int32)
    return model, ids, random.integers(0, 2, STEPS * BATCH)


def step_times(kind, callbacks, epochs, watch=None, **named):
    """Seconds of each step of one fit, from the begin of a batch to the begin of the next, and which of
    them were sampled."""
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.times, self.sampled = [], []

        def on_train_batch_begin(self, batch, logs=None):
            self.times.append(time.perf_counter())
            wants = watch and watch._monitor.open_wants
            self.sampled.append(bool(wants and wants.sampled))

    clock = Clock()
    model, ids, labels = model_and_data(kind, **named)
    model.fit(ids, labels, batch_size=BATCH, shuffle=False, verbose=0, epochs=epochs,
              callbacks=[*callbacks, clock])
    times, sampled = clock.times[STEPS:], clock.sampled[STEPS:-1]
    return [after - before for before, after in zip(times, times[1:])], sampled


def turns(kind, epochs, optimizer, **named):
    """Seconds of steps of one fit whose stretches are plain and watched in turns: (plain, sampled, those
    that were watched and not sampled)."""
    from embmon.keras import EmbmonCallback

    class Turns(EmbmonCallback):
        def __init__(self, plain):
            super().__init__(**named)
            self.plain, self.watched, self.times, self.kinds = plain, None, [], []

        def on_train_batch_begin(self, batch, logs=None):
            self.times.append(time.perf_counter())
            at = len(self.times) - 1
            if at >= WARM and at // STRETCH % 2:
                if at % STRETCH == 0:
                    self._settle()
                self.model.train_function = self.plain
                self.kinds.append(0)
                return
            self.watched = self.watched or self.model.train_function
            self.model.train_function = self.watched
            super().on_train_batch_begin(batch, logs)
            wants = self._monitor.open_wants
            self.kinds.append(1 if wants and wants.sampled else 2)

    model, ids, labels = model_and_data(kind, optimizer)
    model.fit(ids, labels, batch_size=BATCH, shuffle=False, verbose=0)
    turned = Turns(model.train_function)
    model.fit(ids, labels, batch_size=BATCH, shuffle=False, verbose=0, epochs=epochs,
              callbacks=[turned])
    turned.close()
    assert turned.watched is not turned.plain
    found = [], [], []
    for at, (begin, end) in enumerate(zip(turned.times, turned.times[1:])):
        if at >= WARM and at % STRETCH >= COLD and (at + 1) % STEPS:
            found[turned.kinds[at]].append(end - begin)
    return found


def by_formula(times, sampled, plain):
    """1 + the share that monitoring adds; None where it samples nothing."""
    taken = [x for x, s in zip(times, sampled) if s]
    others = [x for x, s in zip(times, sampled) if not s]
    if not taken:
        return None
    usual = statistics.median(others or plain)
    return 1 + len(taken) / len(times) * (statistics.median(taken) - usual) / usual


class Table:
    """Of ways to train one model, taken in turns."""

    def __init__(self, folder, address):
        self._folder, self._address, self._runs = folder, address, 0

    def embmon(self, **named):
        from embmon.keras import EmbmonCallback

        self._runs += 1
        return EmbmonCallback(address=self._address, run=f"run-{self._runs}", **named)

    def take(self, way, kind, epochs, optimizer):
        import keras
        import tensorflow as tf

        self._runs += 1
        if way == "plain":
            return step_times(kind, [], epochs, optimizer=optimizer)
        if way.startswith("keras.callbacks"):
            board = keras.callbacks.TensorBoard(f"{self._folder}/keras-{self._runs}",
                                                histogram_freq=1, update_freq="batch")
            return step_times(kind, [board], epochs)
        if way.startswith("tf.summary"):
            writer = tf.summary.create_file_writer(f"{self._folder}/summary-{self._runs}")
            return step_times(kind, [], epochs, summaries=writer)
        watch = self.embmon(**({"every": 1} if "every=1" in way else {}))
        taken = step_times(kind, [watch], epochs, watch, optimizer=optimizer)
        watch.close()
        return taken

    def print(self, title, kind, ways, rounds, epochs, optimizer="adam"):
        found = {way: [] for way in ways}
        for number in range(rounds):
            for way in ways:
                long = epochs if way != ways[-1] or "tf.summary" not in way else 2
                times, sampled = self.take(way, kind, long, optimizer)
                plain = times if way == "plain" else found["plain"][-1][0]
                found[way].append((times, by_formula(times, sampled, plain)))
                print(f"{title}, round {number + 1}: {way}: {1e3 * statistics.median(times):.2f} ms, "
                      f"{sum(sampled)} of {len(times)} sampled", file=sys.stderr)
        print(f"\n| {title} | min, ms | median, ms | median ÷ plain | mean ÷ plain (clock) | formula |\n"
              "|---|---|---|---|---|---|")
        for way, all_of_it in found.items():
            print(f"| `{way}` | {self._row(all_of_it, found['plain'])} |")
        return {way: ([clock for _, clock in self._ratios(taken, found["plain"])],
                      [share for _, share in taken if share is not None])
                for way, taken in found.items()}

    def turns(self, title, kind, rounds, epochs, optimizer="adam"):
        """[formula], [clock] of a callback at every step."""
        print(f"\n| {title}, in turns within a fit | plain: least, ms | median | with it ÷ plain: least "
              "| median | mean (clock) |\n|---|---|---|---|---|---|")
        result = None
        for way, named, which in (("every=1", {"every": 1}, 1), ("", {}, 2)):
            fits = []
            for _ in range(rounds):
                self._runs += 1
                fits.append(turns(kind, epochs, optimizer, address=self._address,
                                  run=f"run-{self._runs}", **named))
            ratios = [[f(x[which]) / f(x[0]) for x in fits]
                      for f in (min, statistics.median, statistics.mean)]
            plain = [1e3 * min(f(x[0]) for x in fits) for f in (min, statistics.median)]
            print(f"| `EmbmonCallback({way})`{'' if which == 1 else ', not sampled'} | {plain[0]:.2f} "
                  f"| {plain[1]:.2f} | " + " | ".join(f"{statistics.median(x):.3f}" for x in ratios) + " |")
            result = result or (ratios[1], ratios[2])
        return result

    @staticmethod
    def _ratios(taken, plains):
        """Of medians and of means, to the plain training of the same round."""
        return [(statistics.median(times) / statistics.median(plain),
                 statistics.mean(times) / statistics.mean(plain))
                for (times, _), (plain, _) in zip(taken, plains)]

    def _row(self, taken, plains):
        medians, clocks = zip(*self._ratios(taken, plains))
        formulas = [x for _, x in taken if x is not None]
        cells = [f"{1e3 * min(min(times) for times, _ in taken):.2f}",
                 f"{1e3 * min(statistics.median(times) for times, _ in taken):.2f}",
                 f"{statistics.median(medians):.3f}", f"{statistics.median(clocks):.3f}",
                 f"{statistics.median(formulas):.3f}" if formulas else "–"]
        return " | ".join(cells)

    def growth(self):
        """What is posted of a step of a table, as the table grows and the batch does not."""
        import embmon
        import numpy

        random = numpy.random.default_rng(1)
        values = random.normal(0, 1e-3, (BATCH * LENGTH, SENTIMENT[1])).astype(numpy.float32)
        print("\n| rows of the table | ids, as fed and looked up, and the gradient: µs |\n|---|---|")
        for rows in (10**4, 10**5, 10**6):
            # Equally many different ids: of fewer rows more would be the same.
            ids = (random.permutation(BATCH * LENGTH) % 5000 * (rows // 5000)).astype(numpy.int32)
            times = []
            with embmon.Client(run=f"rows-{rows}", address=self._address) as client:
                table = client.layer("table", "embedding", rows=rows, columns=SENTIMENT[1])
                for step in range(200):
                    start = time.perf_counter()
                    client.post_fed(table, "tokens", step, ids, LENGTH)
                    client.post_ids(table, step, ids, sequence_length=LENGTH)
                    client.post_rows(table, "gradient", step, ids, values)
                    times.append(time.perf_counter() - start)
                    client.step(step)
            print(f"| {rows:,} | {1e6 * statistics.median(times):.0f} |")


class TimedLibrary:
    """libembmon whose posting calls are timed, by what they post: the call and the elements."""

    COUNTS = {"embmon_post": 5, "embmon_post_rows": 7, "embmon_post_ids": 4, "embmon_post_fed": 5}

    def __init__(self, library):
        self._library, self.times = library, {}

    def __getattr__(self, name):
        function = getattr(self._library, name)
        if name in self.COUNTS:
            function = self._timed(name, function)
        setattr(self, name, function)
        return function

    def _timed(self, name, function):
        def call(*given):
            start = time.perf_counter()
            result = function(*given)
            took = time.perf_counter() - start
            if result == 1:  # it was wanted
                self.times.setdefault((name, given[self.COUNTS[name]]), []).append(took)
            return result
        return call


def calls(folder, address):
    """Within a training at whose every step all is posted, what the calls for the large tensors take. By
    calls out of the graph: its own operations would lend them."""
    callback = Table(folder, address).embmon(every=1)
    callback._monitor.gate = lambda: None
    timed = []

    class Watch(type(callback)):
        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            client = self._monitor.client
            if not timed:
                timed.append(TimedLibrary(client._lib))
                client._lib = timed[0]

    callback.__class__ = Watch
    step_times(SENTIMENT, [callback], 6, callback)
    callback.close()
    print("\n| call, elements or rows | calls | least, µs | median, µs |\n|---|---|---|---|")
    for (name, count), times in sorted(timed[0].times.items(), key=lambda item: -sum(item[1])):
        if count >= BATCH * LENGTH:
            print(f"| `{name}()`, {count:,} | {len(times)} | {1e6 * min(times):.0f} "
                  f"| {1e6 * statistics.median(times):.0f} |")


# glibc gives a step's memory back to the system and asks for it again at the next one, or it does not: by
# chance, as memory lies, differently in each fit, plain ones too. That is up to 2,700 page faults a step,
# 4 ms. Here it keeps all it has had, for all contestants.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
               "MALLOC_TOP_PAD_": str(1 << 28)}


def main():
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # it is read as the process begins
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP_MEMORY)
    parser = argparse.ArgumentParser(description="What the Keras callback adds to a training step.")
    parser.add_argument("--quick", action="store_true", help="one round of the first model, 20 s")
    parser.add_argument("--calls", action="store_true", help="what each posting call takes, alone")
    parser.add_argument("--keep", help="a folder for what goals.py shows")
    options = parser.parse_args()

    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    folder = tempfile.TemporaryDirectory(prefix="embmon-bench-")
    address = f"unix:{folder.name}/socket"
    daemon = subprocess.Popen([ROOT / "build/embmond", "-q", "-l", f"{folder.name}/runs", "--listen",
                               address], env={k: v for k, v in os.environ.items() if k not in KEEP_MEMORY})
    each, auto = "EmbmonCallback(every=1)", "EmbmonCallback()"
    ours = ["plain", each, auto]
    theirs = ['keras.callbacks.TensorBoard(histogram_freq=1, update_freq="batch")',
              "tf.summary.histogram of gradients"]
    table, goals = Table(folder.name, address), Goals()
    try:
        if options.calls:
            calls(folder.name, address)
            return
        rounds, epochs, ways = (1, 3, ours) if options.quick else (3, 5, ours + theirs)
        found = table.print("sentiment", SENTIMENT, ways, rounds, epochs)
        formula, clock = table.turns("sentiment", SENTIMENT, *((1, 6) if options.quick else (4, 6)))
        goals.add_all("a training step of the sentiment model, every step: ÷ plain, by the formula", 1.1,
                      "×", formula, at_most=True)
        goals.add_all("the same, by the clock", 1.1, "×", clock, at_most=True)
        goals.add_all('the same, every="auto", by the formula', 1.01, "×", found[auto][1], at_most=True)
        if not options.quick:
            # SGD learns nothing of random labels: Adam learns them by heart, and that is an alert.
            formula, clock = table.turns("a step of 50 ms", LARGE, 3, 3, "sgd")
            goals.add_all("a training step of 50 ms, every step: ÷ plain, by the formula", 1.03, "×",
                          formula, at_most=True)
            goals.add_all("the same, by the clock", 1.03, "×", clock, at_most=True)
            table.growth()
        goals.end("step", options.keep)
    finally:
        daemon.terminate()
        daemon.wait()
        folder.cleanup()


if __name__ == "__main__":
    main()
