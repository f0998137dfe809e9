"""The example trainer beside embmond: small versions of what `make verdicts` and `make demo` run,
and TensorBoard's numbers against those the trainer computed itself."""
import struct
import subprocess
import sys
import pathlib
import time
import types

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "examples"))

import monitored  # noqa: E402
import readers  # noqa: E402
import reviews  # noqa: E402
from monitored import TABLES, Alerts, Daemon, Record, Verdict  # noqa: E402

NOBODY = "unix:/nonexistent/embmond.sock"


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A part of the reviews, so that a training starts quickly."""
    lines = reviews.fetch().read_text(encoding="utf-8").splitlines(keepends=True)[:6000]
    path = tmp_path_factory.mktemp("data") / "reviews.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def train(data, folder, address, run="skipgram", extra=(), **options):
    """Trains to the end; returns (record, what was printed, what went to stderr)."""
    path = folder / f"{run}.record"
    done = subprocess.run(
        monitored.skipgram(data, run, path, extra=extra, **options),
        env=monitored.environment(address), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return Record(path), done.stdout, done.stderr


def weights(output):
    return output.splitlines()[-1].removeprefix("weights ")


# ---- with no monitor


def test_loss_falls_and_alike_words_come_near(data, tmp_path):
    record, output, _ = train(data, tmp_path, NOBODY, steps=400)
    assert record.steps == list(range(400))
    # k = 5 negatives and one positive at a score of 0: 6 x log 2.
    assert record.loss[0] == pytest.approx(6 * np.log(2), abs=2e-3)
    assert np.mean(record.loss[-20:]) < 3.1
    assert 'near "dress": ' in output


def test_same_seed_same_weights_other_seed_other_weights(data, tmp_path):
    once, again, other = (weights(train(data, tmp_path, NOBODY, steps=20, seed=seed)[1])
                          for seed in (3, 3, 4))
    assert once == again != other


def test_training_goes_on_from_saved_tables_as_if_it_had_not_stopped(data, tmp_path):
    whole = train(data, tmp_path, NOBODY, steps=30)[1]
    save = ("--save", str(tmp_path / "tables"))
    train(data, tmp_path, NOBODY, steps=20, extra=save)
    record, rest, _ = train(data, tmp_path, NOBODY, steps=10, extra=(*save, "--resume"))
    assert record.steps == list(range(20, 30))
    assert weights(rest) == weights(whole)


def test_without_a_daemon_there_is_one_warning(data, tmp_path):
    _, _, warnings = train(data, tmp_path, NOBODY, steps=20)
    assert len(warnings.splitlines()) == 1, warnings


@pytest.mark.parametrize("arguments", [
    (), ("--data", "x", "--fault", "other"), ("--data", "x", "--steps", "many"),
    ("--data", "x", "--rank", "2", "--world-size", "2"), ("--data", "x", "--resume"),
    ("--data", "/nonexistent")])
def test_a_wrong_command_line_is_refused(arguments):
    done = subprocess.run([monitored.BUILD / "examples" / "skipgram", *arguments],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode in (1, 64)
    assert done.stderr


# ---- beside embmond


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Every kind of training once, beside one embmond that has ended since.
    {name: (record, output)} and the logdir."""
    folder = tmp_path_factory.mktemp("trained")
    logdir = folder / "runs"
    runs = {}
    with Daemon(logdir) as daemon:
        for fault, steps in (("none", 400), ("vanishing", 60), ("exploding", 60), ("nan", 400)):
            extra = ("--dump", str(folder / "dump")) if fault == "none" else ()
            runs[fault] = train(data, folder, daemon.address, run=fault, fault=fault, steps=steps,
                                extra=extra)
        daemon.finish()
    return runs, logdir, folder / "dump"


def verdict(trained, fault):
    runs, logdir, _ = trained
    return Verdict(fault, Alerts(logdir, fault), runs[fault][0], runs["none"][0])


def test_a_healthy_training_is_not_flagged(trained):
    found = verdict(trained, "none")
    assert found.ok, found.text


@pytest.mark.parametrize("fault", ["vanishing", "exploding", "nan"])
def test_a_fault_is_named_within_20_steps(trained, fault):
    found = verdict(trained, fault)
    assert found.ok, found.text


def test_every_alert_that_fires_has_a_hint(trained):
    alerts = Alerts(trained[1], "exploding")
    firing = [change for change in alerts.new() if change["state"] == "firing"]
    assert firing
    assert all(len(change["hint"]) > 40 and change["summary"] for change in firing)


def test_the_monitor_changes_no_weight(data, trained, tmp_path):
    _, alone, _ = train(data, tmp_path, NOBODY, steps=400)
    assert weights(trained[0]["none"][1]) == weights(alone)


def test_killing_embmond_changes_no_weight_and_the_run_goes_on(data, tmp_path):
    _, alone, _ = train(data, tmp_path, NOBODY, steps=1000)
    with Daemon(tmp_path / "runs") as daemon:
        files = tmp_path / "runs" / "killed" / "embmon"
        command = monitored.skipgram(data, "killed", tmp_path / "record", steps=1000)
        with subprocess.Popen(command, env=monitored.environment(daemon.address), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as trainer:
            for line in trainer.stdout:
                if line.startswith("step 202 "):
                    break
            daemon.process.kill()
            daemon.process.wait()
            daemon.start()
            output, warnings = trainer.communicate(timeout=60)
        assert trainer.returncode == 0
        daemon.finish()
    assert weights(output) == weights(alone)
    assert len(warnings.splitlines()) <= 2, warnings  # one for the outage, one for its end
    assert len(list(files.glob("*tfevents*"))) == 2
    steps = readers.both(tmp_path / "runs")["killed/embmon"].steps("loss")
    assert steps == sorted(set(steps)) and steps[0] == 0 and steps[-1] == 999


def test_a_resumed_training_continues_its_run_and_another_gets_its_own(data, tmp_path):
    save = ("--save", str(tmp_path / "tables"))
    with Daemon(tmp_path / "runs") as daemon:
        train(data, tmp_path, daemon.address, steps=20, extra=save)
        train(data, tmp_path, daemon.address, steps=10, extra=(*save, "--resume"))
        output = train(data, tmp_path, daemon.address, steps=5)[1]
        daemon.finish()
    assert "the monitor calls this run skipgram-2" in output
    runs = readers.both(tmp_path / "runs")
    assert sorted(runs) == ["skipgram-2/embmon", "skipgram/embmon"]
    assert runs["skipgram/embmon"].steps("loss") == list(range(30))
    assert runs["skipgram-2/embmon"].steps("loss") == list(range(5))


# ---- TensorBoard's numbers


def dumped(path):
    """Yields (step, table, rows): the gradient rows as the trainer had them, in f32."""
    raw = path.read_bytes()
    at = 0
    while at < len(raw):
        step, table, rows, columns = struct.unpack_from("=4I", raw, at)
        at += 16 + 4 * rows
        values = np.frombuffer(raw, "=f4", rows * columns, at).reshape(rows, columns)
        at += values.nbytes
        yield step, TABLES[table], values


def counts_between(values, edges):
    """How many values lie in each bucket. An inner edge belongs to the bucket farther from zero."""
    below = [np.count_nonzero(values < e if e >= 0 else values <= e) for e in edges[1:-1]]
    return np.diff([0, *below, values.size])


def test_tensorboard_shows_the_trainer_s_own_gradients(trained):
    run = readers.both(trained[1])["none/embmon"]
    norms = {table: dict(run.scalars[f"gradient_norm/{table}"]) for table in TABLES}
    histograms = {table: dict(run.histograms[f"gradients/{table}"]) for table in TABLES}
    logarithms = {table: dict(run.histograms[f"gradients_log10/{table}"]) for table in TABLES}
    seen = set()
    for step, table, rows in dumped(trained[2]):
        values = rows[rows.any(axis=1)].astype("f8").ravel()
        shown = histograms[table][step]
        assert norms[table][step] == pytest.approx(np.sqrt(np.sum(values**2)), rel=1e-5)
        assert shown[0, 0] == values.min() and shown[-1, 1] == values.max()
        edges = [*shown[:, 0], shown[-1, 1]]
        np.testing.assert_array_equal(shown[:, 2], counts_between(values, edges))
        assert logarithms[table][step][:, 2].sum() == np.count_nonzero(values)
        seen.add((step, table))
    assert seen == {(step, table) for step in range(64) for table in TABLES}


def test_tensorboard_shows_the_loss_the_trainer_wrote_down(trained):
    runs, logdir, _ = trained
    record = runs["none"][0]
    shown = dict(readers.rust(logdir)["none/embmon"].scalars["loss"])
    for step in range(64):
        assert shown[step] == pytest.approx(record.loss[step], rel=1e-6)


# ---- the judge itself


def record_of(tmp_path, name, steps, norm=1.0, loss=4.0, nonfinite=0):
    """A record whose norm, loss and count are numbers, or functions of the step."""
    def at(value, step):
        return value(step) if callable(value) else value
    path = tmp_path / name
    path.write_text("".join(
        f"{s} {at(loss, s)} {at(norm, s)} 9 {at(nonfinite, s)} {at(norm, s)} 9 0\n"
        for s in range(steps)))
    return Record(path)


def alerts_of(tmp_path, *fired):
    folder = tmp_path / "run" / "embmon"
    folder.mkdir(parents=True, exist_ok=True)
    line = '{"state": "firing", "severity": "%s", "detector": "%s", "layer": "%s", "step": %d}\n'
    (folder / "alerts.jsonl").write_text("".join(line % f for f in fired))
    return Alerts(tmp_path, "run")


@pytest.mark.parametrize("step, ok", [(39, False), (40, True), (60, True), (61, False)])
def test_the_judge_counts_from_the_first_non_finite_gradient(tmp_path, step, ok):
    record = record_of(tmp_path, "sick", 100, nonfinite=lambda s: int(s >= 40))
    alerts = alerts_of(tmp_path, ("critical", "gradient_nonfinite", TABLES[0], step))
    assert Verdict("nan", alerts, record).ok is ok


def test_the_judge_wants_the_table_that_was_first(tmp_path):
    record = record_of(tmp_path, "sick", 100, nonfinite=lambda s: int(s >= 40))
    alerts = alerts_of(tmp_path, ("critical", "gradient_nonfinite", TABLES[1], 41))
    assert not Verdict("nan", alerts, record).ok


@pytest.mark.parametrize("steps, ok", [((9, 9), True), ((9, 21), False), ((9, None), False)])
def test_the_judge_wants_both_vanished_tables(tmp_path, steps, ok):
    twin = record_of(tmp_path, "twin", 100)
    record = record_of(tmp_path, "sick", 100, norm=0.9e-3)
    alerts = alerts_of(tmp_path, *(("warning", "gradient_vanishing", table, step)
                                   for table, step in zip(TABLES, steps) if step is not None))
    assert Verdict("vanishing", alerts, record, twin).ok is ok


@pytest.mark.parametrize("step, ok", [(50, True), (70, True), (71, False)])
def test_the_judge_takes_the_norm_or_the_loss_as_explosion(tmp_path, step, ok):
    twin = record_of(tmp_path, "twin", 100)
    alerts = alerts_of(tmp_path, ("critical", "gradient_exploding", TABLES[1], step))
    by_norm = record_of(tmp_path, "norm", 100, norm=lambda s: 101 if s >= 50 else 99)
    by_loss = record_of(tmp_path, "loss", 100, loss=lambda s: 20.1 if s >= 50 else 4)
    assert Verdict("exploding", alerts, by_norm, twin).ok is ok
    assert Verdict("exploding", alerts, by_loss, twin).ok is ok


def test_the_judge_finds_no_fault_in_a_training_that_never_was_sick(tmp_path):
    twin = record_of(tmp_path, "twin", 100)
    alerts = alerts_of(tmp_path, ("critical", "gradient_exploding", TABLES[0], 3))
    assert not Verdict("exploding", alerts, twin, twin).ok
    assert not Verdict("none", alerts, twin).ok
    assert Verdict("none", alerts_of(tmp_path, ("info", "x", TABLES[0], 3)), twin).ok


# ---- what make verdicts-c and verdicts-keras print


def said(ok, sick=None, named=None, others=(), text="so"):
    return types.SimpleNamespace(ok=ok, sick=sick, named=named, others=list(others), text=text)


def test_the_report_has_a_line_for_each_training_and_a_row_for_each_kind(capsys):
    judged = {"none (healthy)": {"none, seed 1": said(True), "none, seed 2": said(True, text="quiet")},
              "nan": {"nan, seed 1": said(True, 3, 3), "nan, seed 2": said(True, 10, 15, ["rows_hot"]),
                      "nan, seed 3": said(False, 7, None, ["loss_nonfinite"])}}
    assert monitored.report("fault", judged, time.monotonic(), monitored.BUILD) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:6] == ["ok   none, seed 1: so", "ok   none, seed 2: quiet", "ok   nan, seed 1: so",
                          "ok   nan, seed 2: so", "MISS nan, seed 3: so"]
    assert lines[7:11] == [
        "| fault | right | steps from first sick to alert (min / median / max) | also fired |",
        "|---|---|---|---|",
        "| none (healthy) | 2 of 2 | - | - |",
        "| nan | 2 of 3 | 0 / 2.5 / 5 | loss_nonfinite, rows_hot |"]
    assert lines[-1].startswith("NOT as it must be: 0 s, ")
    del judged["nan"]["nan, seed 3"]
    assert monitored.report("fault", judged, time.monotonic(), monitored.BUILD) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("All as it must be: ")


@pytest.mark.parametrize("what, status", [
    (0, 0), (1, 1), (KeyboardInterrupt(), 130), (RuntimeError("no disk"), "verdicts: no disk")])
def test_a_program_ends_without_a_traceback(what, status):
    def main():
        if isinstance(what, BaseException):
            raise what
        return what
    with pytest.raises(SystemExit) as ended:
        monitored.end_with("verdicts", main)
    assert ended.value.code == status
