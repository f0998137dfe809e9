"""What the Keras callback adds to a training step, beside Keras' own TensorBoard callback.

    build/venv/bin/python tests/bench/keras_step.py

A sentiment model (table of 20,000 x 64, batch 64 x 100) is trained four ways in turns, ROUNDS times: plain,
with EmbmonCallback at every step, with its defaults, with keras.callbacks.TensorBoard writing
histograms (which it does at the end of an epoch). The figures are ratios to plain's in the same round,
of the median step and of all time from the second epoch on; the first epoch (tracing) is left out.
Prints a Markdown table.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(ROOT / "build" / "libembmon.so"))
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", TF_ENABLE_ONEDNN_OPTS="0")

ROUNDS, EPOCHS, STEPS = 3, 4, 60
VOCABULARY, WIDTH, BATCH, LENGTH = 20000, 64, 64, 100


def model_and_data():
    import keras
    import numpy

    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((LENGTH,), dtype="int32"),
        keras.layers.Embedding(VOCABULARY, WIDTH),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    random = numpy.random.default_rng(1)
    ids = random.integers(0, VOCABULARY, (STEPS * BATCH, LENGTH), dtype=numpy.int32)
    return model, ids, random.integers(0, 2, STEPS * BATCH)


def step_times(callbacks):
    """Seconds of each step of one fit, from the begin of a batch to the begin of the next."""
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.times = []

        def on_train_batch_begin(self, batch, logs=None):
            self.times.append(time.perf_counter())

    clock = Clock()
    model, ids, labels = model_and_data()
    model.fit(ids, labels, batch_size=BATCH, shuffle=False, verbose=0, epochs=EPOCHS,
              callbacks=[clock, *callbacks])
    times = clock.times[STEPS:]
    return [after - before for before, after in zip(times, times[1:])]


def main():
    import keras
    import tensorflow
    from embmon.keras import EmbmonCallback

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    folder = tempfile.TemporaryDirectory(prefix="embmon-bench-")
    address = f"unix:{folder.name}/socket"
    daemon = subprocess.Popen([ROOT / "build/embmond", "-q", "-l", f"{folder.name}/runs",
                               "--listen", address])
    ways = {
        "plain": lambda n: [],
        "EmbmonCallback(every=1)": lambda n: [
            EmbmonCallback(address=address, run=f"every-{n}", every=1)],
        "EmbmonCallback()": lambda n: [EmbmonCallback(address=address, run=f"default-{n}")],
        "keras.callbacks.TensorBoard(histogram_freq=1, update_freq=\"batch\")": lambda n: [
            keras.callbacks.TensorBoard(f"{folder.name}/keras-{n}", histogram_freq=1,
                                        update_freq="batch")],
    }
    times = {way: [] for way in ways}
    try:
        for number in range(ROUNDS):
            for way, callbacks in ways.items():
                steps = step_times(callbacks(number))
                times[way].append((statistics.median(steps), statistics.mean(steps)))
                print(f"round {number + 1}: {way}: median {1e3 * times[way][-1][0]:.2f} ms, mean "
                      f"{1e3 * times[way][-1][1]:.2f} ms", file=sys.stderr)
    finally:
        daemon.terminate()
        daemon.wait()
        folder.cleanup()
    print("| training | median step, ms | ÷ plain | mean step, ms | ÷ plain |\n|---|---|---|---|---|")
    for way, rounds in times.items():
        cells = []
        for kind in (0, 1):
            ratios = [each[kind] / plain[kind] for each, plain in zip(rounds, times["plain"])]
            cells += [f"{1e3 * min(each[kind] for each in rounds):.2f}",
                      f"{statistics.median(ratios):.2f}"]
        print(f"| `{way}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
