"""Event files as TensorBoard's two readers see them, written by tests/tools/events.c."""

import json
import os
import pathlib
import resource
import subprocess

import numpy as np
import pytest

import readers

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / os.environ.get("EMBMON_BUILD", "build") / "tools" / "events"
WALL = 1700000000.0


class Writer:
    """One process that writes one event file."""

    def __init__(self, folder, wall=WALL):
        folder.mkdir(parents=True, exist_ok=True)
        self._values = folder.parent / "values.f64"
        # Signals stay as Python has them: SIGXFSZ ignored, so that a limit is an error of write().
        self._process = subprocess.Popen([str(TOOL)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, encoding="utf-8", restore_signals=False)
        self.opened = self.say("open", folder, wall)

    def say(self, *fields):
        self._process.stdin.write("\t".join(str(field) for field in fields) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def scalar(self, step, tag, value, wall=None):
        return self.say("scalar", WALL + step if wall is None else wall, step, tag, value)

    def text(self, step, tag, text):
        return self.say("text", WALL + step, step, tag, text)

    def histogram(self, step, tag, values, kind="linear"):
        np.asarray(values, dtype="<f8").tofile(self._values)
        return self.say(kind, WALL + step, step, tag, self._values)

    def stats(self):
        return json.loads(self.say("stats"))

    def flush(self):
        assert self.say("flush") == "1"

    def limit(self, size):
        """The largest size of a file in bytes, None for any: stands in for a full disk."""
        hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE,
                         (hard if size is None else size, hard))

    def kill(self):
        """Ends without a flush, as kill -9 does."""
        self._process.kill()
        self._finish()

    def _finish(self):
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            assert self.say("close") == "0"
            self._process.stdin.close()
            self._process.wait(10)
            self._process.stdout.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "logs" / "run" / "embmon"


@pytest.fixture
def logdir(tmp_path):
    return tmp_path / "logs"


RUN = "run/embmon"


def test_scalars_histograms_and_texts_are_read_alike(folder, logdir):
    with Writer(folder) as writer:
        assert writer.opened == "1"
        assert writer.say("start", WALL, 0) == "1"
        for step in range(5):
            assert writer.scalar(step, "loss", 0.5 - step) == "1"
            assert writer.histogram(step, "gradients/table", [-1.0, 0.0, 0.0, 2.0 + step]) == "1"
            assert writer.text(step, "alerts/log", f"| **step** {step} | größer |") == "1"
        writer.flush()
        assert writer.stats()["pending"] == 0
    run = readers.both(logdir)[RUN]
    assert run.scalars == {"loss": [(s, 0.5 - s) for s in range(5)]}
    assert run.texts == {"alerts/log": [(s, f"| **step** {s} | größer |") for s in range(5)]}
    assert [step for step, _ in run.histograms["gradients/table"]] == list(range(5))
    for step, rows in run.histograms["gradients/table"]:
        assert rows[:, 2].sum() == 4
        assert (rows[0, 0], rows[-1, 1]) == (-1.0, 2.0 + step)
    assert run.walls["loss"] == [WALL + s for s in range(5)]


def test_a_file_is_read_while_it_grows(folder, logdir):
    with Writer(folder) as writer, readers.Live(logdir) as live:
        written = []
        for step in range(0, 40, 10):
            for s in range(step, step + 10):
                writer.scalar(s, "loss", s)
                writer.histogram(s, "gradients/table", np.arange(1 + s))
                written.append((s, float(s)))
            writer.flush()
            run = live.both()[RUN]
            assert run.scalars["loss"] == written
            assert [rows[:, 2].sum() for _, rows in run.histograms["gradients/table"]] == [
                s + 1 for s, _ in written]


def test_what_is_not_finite_is_a_value_of_a_scalar(folder, logdir):
    values = ["nan", "inf", "-inf", "1e300", "-1e300", "0", "1e-300"]
    with Writer(folder) as writer:
        for step, value in enumerate(values):
            assert writer.scalar(step, "loss", value) == "1"
        assert writer.scalar(7, "loss", 7, wall="nan") == "1"
        assert writer.scalar(8, "loss", 8, wall="inf") == "1"
    run = readers.both(logdir)[RUN]
    series = [value for _, value in run.scalars["loss"]]
    largest = float(np.finfo(np.float32).max)
    assert np.isnan(series[0])
    assert series[1:] == [np.inf, -np.inf, largest, -largest, 0, 0, 7, 8]
    assert run.walls["loss"][7:] == [WALL + 6, WALL + 6]


def test_a_histogram_of_nothing_finite_is_not_written(folder, logdir):
    with Writer(folder) as writer:
        assert writer.histogram(1, "gradients/table", [np.nan, np.inf]) == "nothing"
        assert writer.histogram(1, "gradients_log10/table", [0, 0], "log10") == "nothing"
        assert writer.histogram(2, "gradients/table", [np.nan, 3, 3]) == "1"
        assert writer.histogram(2, "gradients_log10/table", [1e-3, -1e-3, 0], "log10") == "1"
    run = readers.both(logdir)[RUN]
    assert run.steps("gradients/table") == [2]
    assert run.histograms["gradients/table"][0][1].tolist() == [[3, 3, 2]]
    rows = run.histograms["gradients_log10/table"][0][1]
    assert rows[:, 2].tolist() == [2] and rows[0, 0] <= -3 < rows[0, 1]


def test_late_steps_are_refused_and_counted(folder, logdir):
    with Writer(folder) as writer:
        answers = [writer.scalar(step, "loss", step) for step in (0, 1, 5, 5, 3, 0, 6)]
        assert answers == ["1", "1", "1", "0", "0", "0", "1"]
        assert writer.scalar(3, "other", 3) == "1"
        assert writer.say("last", "loss") == "6"
        assert writer.say("last", "nothing") == "-1"
        assert writer.stats()["late"] == 3
    run = readers.both(logdir)[RUN]
    assert run.steps("loss") == [0, 1, 5, 6]
    assert run.steps("other") == [3]


def test_tags_that_would_stop_a_reader_are_refused(folder, logdir):
    with Writer(folder) as writer:
        assert writer.scalar(1, "", 1) == "0"
        assert writer.scalar(1, "bell\a", 1) == "0"
        assert writer.scalar(1, "a" * 1025, 1) == "0"
        assert writer.scalar(1, "a" * 1024, 1) == "1"
        assert writer.text(1, "alerts/log", "bell\a") == "0"
        assert writer.scalar(1, "loss", 1) == "1"
        assert writer.stats()["invalid"] == 4
    assert sorted(readers.both(logdir)[RUN].scalars) == ["a" * 1024, "loss"]


def test_a_new_session_goes_on_behind_a_torn_file(folder, logdir):
    with Writer(folder) as writer, readers.Live(logdir) as live:
        writer.say("start", WALL, 0)
        for step in range(10):
            writer.scalar(step, "loss", step)
            writer.histogram(step, "gradients/table", [step, step + 1])
        writer.flush()
        first = folder / writer.stats()["name"]
        assert live.both()[RUN].steps("loss") == list(range(10))
        writer.kill()
        with Writer(folder) as second:
            assert second.opened == "1"
            assert (second.stats()["fresh"], second.say("last", "loss")) == (0, "9")
            assert second.stats()["name"] > first.name
            assert [second.scalar(step, "loss", step) for step in (8, 9, 10, 11)] == [
                "0", "0", "1", "1"]
            second.histogram(10, "gradients/table", [10, 11])
            second.flush()
            run = live.both()[RUN]
            assert run.steps("loss") == list(range(12))
            assert run.steps("gradients/table") == list(range(11))
    assert readers.both(logdir)[RUN].scalars["loss"] == [(s, float(s)) for s in range(12)]


def test_a_full_disk_delays_records_and_tears_none(folder, logdir):
    with Writer(folder) as writer, readers.Live(logdir) as live:
        for step in range(5):
            writer.scalar(step, "loss", step)
        writer.flush()
        writer.limit(writer.stats()["written"] + 100)
        for step in range(5, 10):
            assert writer.scalar(step, "loss", step) == "1"
        assert writer.say("flush") == "0"
        stats = writer.stats()
        assert stats["error"] != 0 and stats["pending"] > 0
        seen = live.both()[RUN].steps("loss")  # the file ends within a record now
        assert 5 <= len(seen) < 10 and seen == list(range(len(seen)))
        assert writer.say("flush") == "0"
        writer.limit(None)
        writer.flush()
        assert live.both()[RUN].steps("loss") == list(range(10))
    assert readers.both(logdir)[RUN].steps("loss") == list(range(10))


@pytest.mark.parametrize("cut", [1, 4, 5, 30, 60])
def test_a_torn_tail_costs_its_own_record_only(folder, logdir, cut):
    with Writer(folder) as writer:
        for step in range(10):
            writer.scalar(step, "loss", step)
        writer.flush()
        torn = folder / writer.stats()["name"]
        writer.kill()
    os.truncate(torn, torn.stat().st_size - cut)
    size = torn.stat().st_size
    kept = 9 if cut < 47 else 8
    with Writer(folder) as writer:
        assert writer.say("last", "loss") == str(kept - 1)
        for step in range(kept, 15):
            assert writer.scalar(step, "loss", step) == "1"
    assert torn.stat().st_size == size
    assert readers.both(logdir)[RUN].scalars["loss"] == [(s, float(s)) for s in range(15)]


def test_zeros_left_by_a_crash_cost_nothing(folder, logdir):
    with Writer(folder) as writer:
        writer.scalar(1, "loss", 1)
        writer.flush()
        torn = folder / writer.stats()["name"]
        writer.kill()
    with open(torn, "ab") as stream:
        stream.write(bytes(4096))
    with Writer(folder) as writer:
        assert writer.say("last", "loss") == "1"
        writer.scalar(2, "loss", 2)
    assert readers.both(logdir)[RUN].steps("loss") == [1, 2]


def test_names_ascend_when_the_clock_goes_back(folder, logdir):
    names = []
    for session, wall in enumerate([WALL, WALL - 86400, 0.0, -5.0, "nan", WALL]):
        with Writer(folder, wall) as writer:
            assert writer.opened == "1"
            names.append(writer.stats()["name"])
            assert writer.scalar(session, "loss", session) == "1"
    assert names == sorted(names)
    seconds = [int(name.split(".")[3]) for name in names]
    assert seconds == [1700000000 + n for n in range(6)]
    assert readers.both(logdir)[RUN].steps("loss") == list(range(6))


def test_a_second_writer_is_told_so(folder):
    with Writer(folder) as writer:
        other = Writer(folder)
        assert other.opened.startswith(f"{folder} is being written by another process")
        other.kill()
        assert len(list(folder.iterdir())) == 1
        writer.kill()
    with Writer(folder) as writer:
        assert writer.opened == "1"


def test_a_resumed_trainer_keeps_its_history(folder, logdir):
    with Writer(folder) as writer:
        writer.say("start", WALL, 0)
        for step in range(10):
            writer.scalar(step, "loss", step)
    with Writer(folder) as writer:
        writer.say("start", WALL + 10, 10)
        for step in range(10, 20):
            writer.scalar(step, "loss", step)
    assert readers.both(logdir)[RUN].steps("loss") == list(range(20))


def test_a_thousand_tags(folder, logdir):
    with Writer(folder) as writer:
        for step in (1, 2):
            for tag in range(1000):
                assert writer.scalar(step, f"gradient_norm/layer_{tag}", tag * step) == "1"
    with Writer(folder) as writer:
        assert writer.say("last", "gradient_norm/layer_999") == "2"
        for tag in range(1000):
            assert writer.scalar(2, f"gradient_norm/layer_{tag}", 0) == "0"
            assert writer.scalar(3, f"gradient_norm/layer_{tag}", tag * 3) == "1"
    run = readers.both(logdir)[RUN]
    assert len(run.scalars) == 1000
    for tag in range(1000):
        assert run.scalars[f"gradient_norm/layer_{tag}"] == [(s, float(s * tag)) for s in (1, 2, 3)]


def counts_of(values, rows):
    """The counts of written buckets from the raw values: an inner edge belongs to the side away
    from zero."""
    values = values[np.isfinite(values)]
    edges = rows[:-1, 1]
    below = [np.count_nonzero(values <= e) if e < 0 else np.count_nonzero(values < e) for e in edges]
    return np.diff([0, *below, values.size])


TENSORS = {
    "normal": lambda r: r.normal(size=5000).astype("f4"),
    "forty_decades": lambda r: r.choice([-1, 1], 5000) * 10.0 ** r.uniform(-30, 10, 5000),
    "relu": lambda r: np.maximum(r.normal(size=5000).astype("f4"), 0),
    "minus_relu": lambda r: np.minimum(r.normal(size=5000).astype("f4"), 0),
    "constant": lambda r: np.full(100, -0.1, "f4"),
    "outlier": lambda r: np.append(r.uniform(size=5000), 1e6),
    "zeros": lambda r: np.zeros(100),
    "subnormal": lambda r: r.integers(-(2**23), 2**23, 5000) * 2.0**-149,
    "integers": lambda r: r.integers(-8, 9, 5000).astype("f8"),
    "above_f32": lambda r: np.append(r.normal(size=100), [1e308, -1e308, np.nan, np.inf]),
    "sparse": lambda r: r.normal(size=5000) * (r.uniform(size=5000) < 0.01),
}


def test_counts_of_buckets_are_those_of_the_values(folder, logdir):
    random = np.random.default_rng(7)
    tensors = {name: [make(random).astype("f8") for _ in range(3)] for name, make in TENSORS.items()}
    with Writer(folder) as writer:
        for name, series in tensors.items():
            for step, values in enumerate(series):
                assert writer.histogram(step, name, values) == "1"
    run = readers.both(logdir)[RUN]
    for name, series in tensors.items():
        for step, rows in run.histograms[name]:
            values = series[step]
            finite = values[np.isfinite(values)]
            assert len(rows) <= 64
            assert (rows[0, 0], rows[-1, 1]) == (finite.min(), finite.max()), name
            assert np.isfinite(rows).all() and (rows[:, 0] <= rows[:, 1]).all(), name
            assert (rows[1:, 0] == rows[:-1, 1]).all(), name
            assert rows[:, 2].tolist() == counts_of(values, rows).tolist(), (name, step)


def test_percentiles_of_a_written_histogram_are_near(folder, logdir):
    values = np.random.default_rng(8).normal(size=20000).astype("f4")
    with Writer(folder) as writer:
        assert writer.histogram(0, "weights/table", values) == "1"
    rows = readers.both(logdir)[RUN].histograms["weights/table"][0][1]
    shares = np.append(0, rows[:, 2].cumsum()) / len(values)
    for percent in (6.68, 15.87, 30.85, 50, 69.15, 84.13, 93.32):
        read = np.interp(percent / 100, shares, np.append(rows[0, 0], rows[:, 1]))
        assert abs(read - np.percentile(values, percent)) < 0.05, percent
