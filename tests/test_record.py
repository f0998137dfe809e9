"""What is recorded of a training, as TensorBoard's two readers and its own Markdown show it."""

import html
import math
import re

import numpy as np
import pytest
from tensorboard import plugin_util

import readers
from harness import Trainer, proto

STEPS = 200
SICK = range(101, 121)  # the table's gradient is next to nothing
TABLE, DENSE, KERNEL, BIAS = 1, 2, 3, 4
GRADIENT, ACTIVATION, WEIGHT, UPDATE = 1, 2, 3, 4
TOWER, HEAD = "tower/embedding", "head"
VANISHING = f"gradient_vanishing/{TOWER}"


def posts(step):
    """What is posted at a step: {(id, signal): values}; binary fractions, exact in f32."""
    scale = 1 + step % 4
    rows = np.array([0.5, -0.25, 0.125, 0.0]) * scale
    return {
        (TABLE, GRADIENT): rows * 2.0**-40 if step in SICK else rows,
        (KERNEL, GRADIENT): np.linspace(-1, 1, 65) * scale,
        (BIAS, GRADIENT): np.array([0.75]),
        (KERNEL, WEIGHT): np.full(65, 2.0),
        (KERNEL, UPDATE): np.full(65, 2.0**-6 * scale),
        (DENSE, ACTIVATION): np.array([0.0, 0.0, 1.5 * scale]),
    }


def scalars(step):
    return {"loss": 2.0 - step / 256, "learning_rate": 0.125, "batch_size": 32.0,
            "clipped_fraction": 0.25, "accuracy": step / 256}


def norm(step, *keys):
    return math.sqrt(sum((posts(step)[key] ** 2).sum() for key in keys))


class Model(Trainer):
    """A table and a dense layer whose kernel and bias are posted one by one."""

    def declare(self):
        self.send(proto.Layers(
            layers=[proto.Layer(id=TABLE, path=TOWER, kind=1, trainable=True, rows=100, columns=4,
                                dtype=1),
                    proto.Layer(id=DENSE, path=HEAD, kind=2, trainable=True, dtype=1)],
            variables=[proto.Variable(id=KERNEL, layer=DENSE, name="kernel", dtype=1),
                       proto.Variable(id=BIAS, layer=DENSE, name="bias", dtype=1)]))

    def train(self, step):
        messages = [self.sample(step, list(map(float, values)), *key)
                    for key, values in posts(step).items()]
        messages += [self.scalar(step, name, value) for name, value in scalars(step).items()]
        self.send(*messages, self.step_end(step, len(messages)))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    from harness import Daemon
    with Daemon(logdir=tmp_path_factory.mktemp("recorded") / "runs") as daemon:
        with Model(daemon.socket) as trainer:
            for step in range(STEPS):
                trainer.train(step)
                if step % 8 == 7:
                    trainer.settle()
            trainer.bye()
        assert daemon.stop() == 0, daemon.log()
        yield readers.both(daemon.logdir)["run/embmon"], daemon.alerts_file()


@pytest.fixture
def run(recorded):
    return recorded[0]


@pytest.fixture
def alerts(recorded):
    return recorded[1]


def test_every_tag_is_there_with_its_kind_and_no_other(run):
    assert sorted(run.histograms) == sorted([
        f"gradients/{TOWER}", f"gradients/{HEAD}/kernel", f"gradients/{HEAD}/bias",
        f"gradients_log10/{TOWER}", f"gradients_log10/{HEAD}/kernel",
        f"gradients_log10/{HEAD}/bias", f"weights/{HEAD}/kernel", f"updates/{HEAD}/kernel",
        f"activations/{HEAD}", f"anomaly/{TOWER}"])
    of_layers = [f"{kind}/{layer}" for layer in (TOWER, HEAD)
                 for kind in ("gradient_norm", "gradient_norm_min", "gradient_norm_max",
                              "gradient_norm_low", "gradient_norm_high", "gradient_rms",
                              "nonfinite")]
    assert sorted(run.scalars) == sorted(of_layers + [
        f"update_ratio/{HEAD}/kernel", "loss", "learning_rate", "batch_size", "clipped_fraction",
        "scalars/accuracy", "gradient_norm/all", f"alerts/{VANISHING}", "alerts/total",
        "embmond/dropped", "embmond/rejected", "embmond/events_lost", "embmond/ranks"])
    assert sorted(run.texts) == ["alerts/log", "alerts/summary"]


def test_the_steps_of_every_tag_strictly_increase(run):
    for tag in (*run.scalars, *run.histograms, *run.texts):
        steps = run.steps(tag)
        assert steps and steps == sorted(set(steps)), tag


def test_scalars_are_those_of_their_step(run):
    head = [(KERNEL, GRADIENT), (BIAS, GRADIENT)]
    every = [(TABLE, GRADIENT)] + head
    expected = {
        f"gradient_norm/{TOWER}": lambda s: norm(s, (TABLE, GRADIENT)),
        f"gradient_norm_min/{TOWER}": lambda s: norm(s, (TABLE, GRADIENT)),
        f"gradient_norm_max/{TOWER}": lambda s: norm(s, (TABLE, GRADIENT)),
        f"gradient_norm/{HEAD}": lambda s: norm(s, *head),
        "gradient_norm/all": lambda s: norm(s, *every),
        f"gradient_rms/{TOWER}": lambda s: norm(s, (TABLE, GRADIENT)) / 2,
        f"gradient_rms/{HEAD}": lambda s: norm(s, *head) / math.sqrt(66),
        f"nonfinite/{TOWER}": lambda s: 0,
        f"update_ratio/{HEAD}/kernel": lambda s: 2.0**-7 * (1 + s % 4),
        # The smaller one of a thousandth of the last layer's and a ten-thousandth of the loss.
        f"gradient_norm_low/{TOWER}": lambda s: min(1e-3 * norm(s, *head), 1e-4 * first_loss(s)),
        "embmond/dropped": lambda s: 0, "embmond/rejected": lambda s: 0,
        "embmond/events_lost": lambda s: 0, "embmond/ranks": lambda s: 1,
    }
    for name in scalars(0):
        tag = f"scalars/{name}" if name == "accuracy" else name
        expected[tag] = lambda s, name=name: scalars(s)[name]
    for tag, value in expected.items():
        assert run.steps(tag) == list(range(STEPS)), tag
        assert [v for _, v in run.scalars[tag]] == pytest.approx(
            [value(step) for step in range(STEPS)], rel=1e-6), tag


def first_loss(step):
    return float(np.median([scalars(s)["loss"] for s in range(min(step + 1, 5))]))


def test_the_upper_threshold_is_100_times_the_learnt_norm(run):
    tag = f"gradient_norm_high/{TOWER}"
    learnt = np.median([norm(step, (TABLE, GRADIENT)) for step in range(25)])
    assert run.steps(tag) == list(range(24, STEPS))
    assert run.scalars[tag][0][1] == pytest.approx(100 * learnt, rel=1e-5)
    frozen = [v for step, v in run.scalars[tag] if step in SICK]
    assert frozen == [frozen[0]] * len(SICK)


HISTOGRAMS = {(TABLE, GRADIENT): f"gradients/{TOWER}",
              (KERNEL, GRADIENT): f"gradients/{HEAD}/kernel",
              (BIAS, GRADIENT): f"gradients/{HEAD}/bias",
              (KERNEL, WEIGHT): f"weights/{HEAD}/kernel",
              (KERNEL, UPDATE): f"updates/{HEAD}/kernel",
              (DENSE, ACTIVATION): f"activations/{HEAD}"}


@pytest.mark.parametrize("key,tag", HISTOGRAMS.items(), ids=HISTOGRAMS.values())
def test_histograms_hold_the_counts_and_ends_of_their_window(run, key, tag):
    after = -1
    for step, rows in run.histograms[tag]:
        window = np.concatenate([posts(s)[key] for s in range(after + 1, step + 1)])
        assert rows[:, 2].sum() == len(window), step
        assert (rows[0, 0], rows[-1, 1]) == (window.min(), window.max()), step
        assert np.isfinite(rows).all() and (rows[1:, 0] == rows[:-1, 1]).all()
        after = step
    assert after == STEPS - 1  # nothing is skipped


def test_logarithms_are_of_what_is_not_zero(run):
    for tag, key in ((TOWER, (TABLE, GRADIENT)), (f"{HEAD}/kernel", (KERNEL, GRADIENT))):
        assert run.steps(f"gradients_log10/{tag}") == run.steps(f"gradients/{tag}")
        after = -1
        for step, rows in run.histograms[f"gradients_log10/{tag}"]:
            window = np.concatenate([posts(s)[key] for s in range(after + 1, step + 1)])
            logs = np.log10(np.abs(window[window != 0]))
            assert rows[:, 2].sum() == len(logs)
            assert rows[0, 0] <= logs.min() + 1e-9 and rows[-1, 1] >= logs.max() - 1e-9
            after = step


def test_windows_widen_and_an_alert_is_recorded_step_by_step(run):
    assert run.steps(f"gradients/{HEAD}/kernel") == [
        *range(64), *range(65, 192, 2), 195, 199]
    # Pending at 101 closes the window that holds 100; firing at 110 begins the 64 steps anew.
    assert run.steps(f"gradients/{TOWER}") == [
        *range(64), *range(65, 100, 2), 100, *range(101, 174), *range(175, 192, 2), 195, 199]


def test_the_gradients_of_the_alert_have_a_tag_of_their_own(run):
    tag = f"anomaly/{TOWER}"
    assert run.steps(tag) == list(range(101, 140))  # until it is resolved at 140
    for step, rows in run.histograms[tag]:
        values = posts(step)[(TABLE, GRADIENT)]
        assert rows[:, 2].sum() == len(values)
        assert (rows[0, 0], rows[-1, 1]) == (values.min(), values.max())


def test_an_alert_has_its_line_and_a_stair_of_totals(run):
    assert run.scalars[f"alerts/{VANISHING}"] == [
        (100, 0), (101, 1), (109, 1), (110, 2), (139, 2), (140, 0)]
    assert run.scalars["alerts/total"] == [(0, 0), (109, 0), (110, 1), (STEPS - 1, 1)]


def test_alerts_jsonl_has_every_change_with_every_field(alerts):
    assert [(a["state"], a["step"], a["first_step"], a["reason"]) for a in alerts] == [
        ("pending", 101, 101, ""), ("firing", 110, 101, ""), ("resolved", 140, 101, "cleared")]
    for alert in alerts:
        assert sorted(alert) == sorted(
            "time run phase layer variable signal detector severity state step first_step value "
            "threshold baseline ranks reason summary hint".split())
        assert (alert["run"], alert["phase"], alert["layer"], alert["variable"]) == (
            "run", "training", TOWER, "")
        assert (alert["detector"], alert["signal"], alert["severity"], alert["ranks"]) == (
            "gradient_vanishing", "gradient", "warning", [0])
    assert alerts[1]["value"] == pytest.approx(norm(110, (TABLE, GRADIENT)), rel=1e-9)


# ---- texts, as TensorBoard renders them


def rendered(text):
    return plugin_util.markdown_to_safe_html(text)


def rows_of(text):
    """The cells of the table's body, as HTML."""
    return [re.findall(r"<td>(.*?)</td>", row, re.S)
            for row in re.findall(r"<tr>(.*?)</tr>", rendered(text).split("</thead>")[1], re.S)]


def test_the_log_tells_each_change_and_its_hint(run, alerts):
    assert run.steps("alerts/log") == [101, 110, 140]
    for (_, text), alert in zip(run.texts["alerts/log"], alerts):
        log = rendered(text)
        assert f"<strong>warning {alert['state']}</strong>" in log
        assert f"<code>{TOWER}</code> at step {alert['step']} (since 101)" in log
        assert f"<p>{alert['summary']}</p>" in log
        assert ("<blockquote>" in log) == (alert["state"] != "resolved")
        if alert["state"] != "resolved":
            assert alert["hint"] in log


def test_the_summary_is_a_table_of_what_is_and_was(run, alerts):
    assert run.steps("alerts/summary") == [101, 110, 140]
    for (_, text), alert, state in zip(run.texts["alerts/summary"], alerts,
                                       ("pending", "firing", "resolved (fired)")):
        assert rows_of(text) == [[state, "warning", "gradient_vanishing", f"<code>{TOWER}</code>",
                                  "101", str(alert["step"]), alert["summary"]]]


NASTY = ["<img src=x onerror=alert(1)>", "`](javascript:alert(1))", "a|b", "a\\", "<!--",
         "</table>", "![x](y)", "**bold** __b__", "# heading", "> quote", "~~~", "1. one",
         "- item", "&lt;", "<script>alert(1)</script>", "tf.math.add:0", "層/埋め込み"]


def test_names_stay_names_wherever_they_are_shown(daemon):
    class Nasty(Trainer):
        def declare(self):
            self.send(proto.Layers(layers=[
                proto.Layer(id=i + 1, path=name, kind=1, trainable=True, rows=10, columns=2,
                            dtype=1) for i, name in enumerate(NASTY)]))

    with Nasty(daemon.socket) as trainer:
        # One after the other is non-finite, so that each is named once: in all of its texts.
        for step in range(11 * len(NASTY)):
            sick = step // 11 if step % 11 == 0 else None
            trainer.send(*(trainer.sample(step, [math.nan if i == sick else 0.5], target=i + 1)
                           for i in range(len(NASTY))), trainer.step_end(step, len(NASTY)))
            trainer.settle()
        trainer.bye()
    daemon.stop()
    run = readers.both(daemon.logdir)["run/embmon"]
    assert [a["layer"] for a in daemon.alerts_file() if a["state"] == "firing"] == NASTY
    logs = [rendered(text) for _, text in run.texts["alerts/log"]]
    assert len(logs) == 2 * len(NASTY)  # firing, resolved
    shown = [name.replace("`", "'").replace("|", "'") for name in NASTY]
    for log, name in zip(logs, (name for name in shown for _ in range(2))):
        assert [html.unescape(code) for code in re.findall("<code>(.*?)</code>", log)] == [name]
        assert not re.search("<(?!/?(p|strong|code|blockquote)>)", log), log
    rows = rows_of(run.texts["alerts/summary"][-1][1])
    assert [len(row) for row in rows] == [7] * len(NASTY)
    assert [html.unescape(row[3]) for row in rows] == [f"<code>{name}</code>" for name in shown]
    for row, name in zip(rows, NASTY):
        assert name in html.unescape(row[6])
