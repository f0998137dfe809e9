"""The Keras examples beside embmond: short versions of what `make verdicts` and `make demo` run."""
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import keras_judge  # noqa: E402
import readers  # noqa: E402
from keras_judge import TABLES, Record, Verdict  # noqa: E402
from monitored import BUILD, Alerts, Daemon  # noqa: E402

FAULTS = ("vanishing", "exploding", "diverging", "nan")
# Steps of each run; at these options nan is there after some 30.
OPTIONS = {"keras_recommender": "--batch 1024 --rate 0.002 --seed 7",
           "keras_sentiment": "--batch 128 --rate 0.002 --seed 1"}
STEPS = {"none": 120, "again": 40, "other": 40, "vanishing": 40, "exploding": 40, "diverging": 40,
         "nan": 80}


def train_all(example, folder):
    """Trains the example in every way, in one process. {way: Record}"""
    lines = []
    for way, steps in STEPS.items():
        words = [example, *OPTIONS[example].split(), "--steps", str(steps), "--run", way,
                 "--record", str(folder / way)]
        words += ["--fault", way] if way in FAULTS else []
        words += ["--seed", "99"] if way == "other" else []
        lines.append(shlex.join(words) + "\n")
    with Daemon(folder / "runs") as daemon:
        done = subprocess.run([sys.executable, EXAMPLES / "keras_runs.py"], input="".join(lines),
                              env=keras_judge.environment(daemon.address), capture_output=True,
                              text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        daemon.finish()
    return {way: Record(folder / way) for way in STEPS}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", TABLES)
def test_the_healthy_one_learns_and_every_fault_is_named(example, tmp_path):
    records = train_all(example, tmp_path)
    healthy = records["none"]
    assert healthy.steps == list(range(STEPS["none"]))
    assert np.mean(healthy.loss[-10:]) < 0.9 * healthy.loss[0]
    # Deterministic for a seed.
    for column in (*TABLES[example], None):
        once, again, other = ((r.norms[column] if column else r.loss)[:40]
                              for r in (healthy, records["again"], records["other"]))
        assert once == again != other
    found = {way: Verdict(example, way, Alerts(tmp_path / "runs", way), records[way], healthy)
             for way in ("none", *FAULTS)}
    texts = {way: verdict.text for way, verdict in found.items()}
    for way in ("none", "vanishing", "exploding", "nan"):
        assert found[way].ok, texts
    # Told in time that the rate is too high, as a divergence or as an explosion.
    assert found["diverging"].sick is not None, texts
    fired = Alerts(tmp_path / "runs", "diverging").fired("critical")
    in_time = {detector for (detector, _), step in fired.items() if step <= found["diverging"].sick + 20}
    assert in_time & {"loss_diverged", "gradient_exploding"}, texts


@pytest.mark.timeout(120)
def test_as_the_newcomer_runs_it(tmp_path):
    """As it says itself, from the checkout: TensorBoard shows what it wrote down."""
    export, first = re.findall(r"^    (.*)$", (EXAMPLES / "keras_recommender.py").read_text(), re.M)[:2]
    for name in ("build", "client", "examples"):  # and the default logdir is not the checkout's
        (tmp_path / name).symlink_to(EXAMPLES.parent / name)
    record = tmp_path / "record"
    env = keras_judge.environment()
    del env["PYTHONPATH"], env["EMBMON_LIBRARY"]
    done = subprocess.run(
        ["sh", "-c", f"{export}\n{first} --steps 20 --run walk --record {record}"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "nothing flagged" in done.stderr
    assert "port.cc" not in done.stderr and "cpu_feature_guard" not in done.stderr
    run = readers.both(tmp_path / "runs")["walk/embmon"]
    written = Record(record)
    assert set(written.norms) == {*TABLES["keras_recommender"], "inner_model/dense", "stars"}
    for layer, norms in written.norms.items():
        steps, shown = zip(*run.scalars[f"gradient_norm/{layer}"])
        assert list(steps)[:16] == list(range(16))  # then as often as the share allows
        np.testing.assert_allclose(shown, [norms[step] for step in steps], rtol=1e-5)
    steps, shown = zip(*run.scalars["loss"])
    np.testing.assert_allclose(shown, [written.loss[step] for step in steps], rtol=1e-6)
    for table in TABLES["keras_recommender"]:
        assert f"gradients/{table}" in run.histograms and f"activations/{table}" in run.histograms


@pytest.mark.parametrize("example", TABLES)
def test_it_is_read_in_five_minutes(example):
    text = (EXAMPLES / f"{example}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(re.findall(r"EmbmonCallback\(.*# <- the one line", text)) == 1
    assert text.count("EmbmonCallback(") == 1
    assert text.count("# FAULT") == len(FAULTS)


# ---- the judge itself


def record_of(path, steps, **columns):
    """loss and norms of layers ("/" as "__"): numbers, or functions of the step."""
    def at(value, step):
        return value(step) if callable(value) else value
    names = [name.replace("__", "/") for name in columns if name != "loss"]
    lines = [f"step loss {' '.join(names)}\n"]
    for step in range(steps):
        row = [at(columns["loss"], step), *(at(columns[n.replace("/", "__")], step) for n in names)]
        lines.append(f"{step} {' '.join(map(str, row))}\n")
    path.write_text("".join(lines))
    return Record(path)


def alerts_of(folder, *fired):
    import json
    (folder / "run" / "embmon").mkdir(parents=True, exist_ok=True)
    keys = ("severity", "detector", "layer", "step", "phase")
    (folder / "run" / "embmon" / "alerts.jsonl").write_text("".join(
        json.dumps({"state": "firing", "value": 1.0, "threshold": 1.0, "phase": "training"}
                   | dict(zip(keys, f))) + "\n" for f in fired))
    return Alerts(folder, "run")


@pytest.mark.parametrize("step, ok", [(29, False), (30, True), (50, True), (51, False)])
def test_the_judge_wants_the_diverged_loss_in_time(tmp_path, step, ok):
    record = record_of(tmp_path / "r", 99, loss=lambda s: 5.1 if s >= 30 else 1.0, embedding=1.0)
    alerts = alerts_of(tmp_path, ("critical", "loss_diverged", "", step))
    assert Verdict("keras_sentiment", "diverging", alerts, record, record).ok is ok


@pytest.mark.parametrize("named, ok", [
    ((("inner_model/embedding", 9), ("inner_model/embedding_1", 9)), True),
    ((("inner_model/embedding", 9), ("inner_model/embedding_1", 21)), False),  # late
    ((("inner_model/embedding", 9),), False),  # not both
    ((("inner_model/embedding", 9), ("inner_model/embedding_1", 9), ("stars", 9)), False),  # well
    ((("inner_model/embedding", 9), ("inner_model/embedding_1", 9), ("dense_1", 90)), True)])
def test_the_judge_wants_both_vanished_tables_and_no_other(tmp_path, named, ok):
    twin = record_of(tmp_path / "t", 99, loss=1.0, inner_model__embedding=1.0,
                     inner_model__embedding_1=1.0, stars=1.0)
    sick = record_of(tmp_path / "s", 99, loss=1.0, inner_model__embedding=1e-4,
                     inner_model__embedding_1=1e-4, dense_1=1e-3, stars=1.0)
    alerts = alerts_of(tmp_path, *(("warning", "gradient_vanishing", *x) for x in named))
    assert Verdict("keras_recommender", "vanishing", alerts, sick, twin).ok is ok


@pytest.mark.parametrize("layer, step, phase, ok", [
    ("inner_model/embedding", 40, "training", True),
    ("inner_model/embedding_1", 40, "training", True),  # beside it, and as sick
    ("stars", 40, "training", False), ("inner_model/embedding", 39, "training", False),
    ("inner_model/embedding", 40, "validation", False)])
def test_the_judge_wants_a_table_that_was_first(tmp_path, layer, step, phase, ok):
    bad = {name: lambda s: float("nan") if s >= 40 else 1.0
           for name in ("loss", "inner_model__embedding", "inner_model__embedding_1", "stars")}
    record = record_of(tmp_path / "r", 99, **bad)
    alerts = alerts_of(tmp_path, ("critical", "gradient_nonfinite", layer, step, phase))
    assert Verdict("keras_recommender", "nan", alerts, record, record).ok is ok


@pytest.mark.parametrize("fault", FAULTS)
def test_the_judge_finds_no_fault_in_a_training_that_never_was_sick(tmp_path, fault):
    record = record_of(tmp_path / "r", 99, loss=1.0, embedding=1.0)
    alerts = alerts_of(tmp_path, ("critical", keras_judge.DETECTOR[fault], "embedding", 3))
    found = Verdict("keras_sentiment", fault, alerts, record, record)
    assert not found.ok and found.sick is None and "not become sick" in found.text


def test_the_judge_of_what_was_healthy(tmp_path):
    record = record_of(tmp_path / "r", 99, loss=lambda s: 2 - s / 99, embedding=1.0)
    idle = record_of(tmp_path / "idle", 99, loss=1.0, embedding=1.0)
    assert not Verdict("keras_sentiment", "none", alerts_of(tmp_path), idle).ok
    assert Verdict("keras_sentiment", "none", alerts_of(tmp_path), record).ok
    def verdict(*fired):
        return Verdict("keras_sentiment", "none", alerts_of(tmp_path, *fired), record)
    assert not Verdict("keras_sentiment", "none", Alerts(tmp_path, "no such run"), record).ok
    assert verdict(("info", "x", "embedding", 3)).ok
    assert not verdict(("warning", "x", "embedding", 3)).ok
    assert not verdict(("critical", "x", "embedding", 3, "validation")).ok
