"""`make verdicts` in small: the judge itself, the table, and a fixed tenth of the trainings."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from harness import BUILD, ROOT

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
for folder in ("client/python", "examples"):
    sys.path.append(str(ROOT / folder))
pytest.importorskip("tensorflow")
pytest.importorskip("pyarrow")

from verdicts import catalog, judge, table  # noqa: E402
from verdicts.faults import FAULTS, Fault  # noqa: E402
from verdicts.models import FAMILIES  # noqa: E402
from verdicts.oracle import ORACLES, first_sick_steps, learnt  # noqa: E402

DETECTORS_PAGE = re.compile(r"^    \{\.name = \"(\w+)\"", flags=re.M)


@pytest.fixture(scope="module")
def scenarios():
    return catalog.scenarios()


# ---- the trainings


@pytest.mark.timeout(900)
def test_a_tenth_of_them_is_all_right(tmp_path):
    """No miss, no false alarm."""
    done = subprocess.run([sys.executable, "-m", "verdicts", "--tenth", "--folder", tmp_path],
                          env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
                          capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [judge.Verdict(**v) for v in json.loads((tmp_path / "verdicts.json").read_text())["verdicts"]]
    assert {v.outcome for v in found} == {judge.RIGHT}
    assert sum(not v.fault for v in found) >= 6 and sum(bool(v.fault) for v in found) >= 12
    assert all(v.steps > 20 for v in found if not v.fault)


# ---- the catalogue


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own(scenarios):
    assert len({s.name for s in scenarios}) == len(scenarios)
    assert sum(not s.fault for s in scenarios) >= 60
    assert sum(bool(s.fault) for s in scenarios) >= 120
    assert all(s.fault in FAULTS for s in scenarios if s.fault)
    assert all(s.twin in scenarios for s in scenarios)
    assert {s.fault for s in scenarios} - {""} == set(FAULTS), "a fault that no model has"
    assert {s.model.family for s in scenarios} == {*FAMILIES, "by_hand"}
    assert all(f.oracle in ORACLES for f in FAULTS.values())


def test_the_halves_share_no_model_and_both_are_large(scenarios):
    halves = {half: {s.model.name for s in scenarios if s.model.half == half} for half in table.HALVES}
    assert not halves["tuning"] & halves["checking"]
    assert all(len(names) >= 15 for names in halves.values())
    # Fixed: a threshold that was tuned on one half must never meet the other.
    first = catalog.Model("recommender", "adam-256", "adam", 1, 1, 1)
    assert first.half == "tuning" and catalog.Model("bag", "adam-64", "sgd", 2, 2, 2).half == "checking"


def test_the_tenth_is_fixed_and_spans_the_detectors(scenarios):
    known = {"gradient_vanishing", "gradient_exploding", "loss_diverged"}
    can = [s for s in scenarios if not s.fault or set(FAULTS[s.fault].right) & known]
    detectors = {name: fault.right[0] for name, fault in FAULTS.items()}
    healthy, faulty = catalog.tenth(can, detectors)
    assert (healthy, faulty) == catalog.tenth(list(reversed(can)), detectors)
    assert known <= {detectors[s.fault] for s in faulty}
    assert {s.twin for s in faulty} <= set(healthy) and len(healthy) == len(set(healthy))
    assert len(faulty) == -(-sum(bool(s.fault) for s in can) // 10)


# ---- the oracle and the judge


class Written:
    """A record that a test makes."""

    def __init__(self, loss, norms, tables=("table",), every=1, **more):
        n = len(loss)
        self.steps, self.loss, self.norms = list(range(n)), loss, norms
        self.tables, self.layers, self.every = list(tables), list(norms), every
        self.raised, self.out_of_range, self.ratios, self.outputs = "", None, {}, {}
        self.warm_until = 0
        self.__dict__.update(more)


WELL = Written([1 - n / 200 for n in range(100)], {"table": [1.0] * 100, "out": [2.0] * 100})


def change(detector, layer, step, **more):
    return {"detector": detector, "layer": layer, "step": step, "state": "firing", "variable": "",
            "severity": "critical", "phase": "training", "value": 1.0, "threshold": 1.0,
            "baseline": None} | more


def scenario(fault="", family="recommender"):
    return catalog.Scenario(catalog.Model(family, "test", "adam", 1, 1, 100), 1, fault)


def judged(fault, record, *changes, twin=WELL):
    return judge.judge_faulty(scenario("test"), fault, record, twin, list(changes))


VANISHED = Fault("", ("gradient_vanishing",), "tables", "vanished")


@pytest.mark.parametrize("step, outcome, delay", [
    (9, judge.MISSED, None), (10, judge.RIGHT, 0), (30, judge.RIGHT, 20), (31, judge.LATE, 21)])
def test_named_in_time_and_not_before_it_is_there(step, outcome, delay):
    low = Written(WELL.loss, {"table": [1.0] * 10 + [1e-4] * 90, "out": [2.0] * 100})
    found = judged(VANISHED, low, change("gradient_vanishing", "table", step))
    assert (found.outcome, found.delay) == (outcome, delay)


def test_all_tables_that_are_sick_have_to_be_named():
    twin = Written(WELL.loss, {"a": [1.0] * 100, "b": [1.0] * 100}, ("a", "b"))
    low = Written(WELL.loss, {"a": [1e-5] * 100, "b": [1e-5] * 100}, ("a", "b"))
    one = change("gradient_vanishing", "a", 9)
    assert judged(VANISHED, low, one, twin=twin).outcome == judge.MISSED
    assert judged(VANISHED, low, one, change("gradient_vanishing", "b", 12), twin=twin).delay == 12


def test_another_detector_or_layer_or_phase_is_no_hit():
    low = Written(WELL.loss, {"table": [1e-5] * 100, "out": [2.0] * 100})
    for wrong in (change("gradient_spike", "table", 9), change("gradient_vanishing", "out", 9),
                  change("gradient_vanishing", "table", 9, phase="validation"),
                  change("gradient_vanishing", "table", 9, state="pending"),
                  change("gradient_vanishing", "table", 9, severity="info")):
        assert judged(VANISHED, low, wrong).outcome == judge.MISSED


def test_what_never_became_sick_proves_nothing():
    assert judged(VANISHED, WELL, change("gradient_vanishing", "table", 9)).outcome == judge.INVALID


def test_an_alarm_before_the_mistake_is_a_false_one():
    nan = Fault("", ("loss_nonfinite",), "any", "nonfinite", since=40)
    bad = Written(WELL.loss[:40] + [float("nan")] * 60, WELL.norms)
    right = change("loss_nonfinite", "", 40)
    assert judged(nan, bad, right).outcome == judge.RIGHT
    found = judged(nan, bad, change("gradient_spike", "out", 39, severity="warning"), right)
    assert found.outcome == judge.FALSE and found.false[0][0] == "gradient_spike" and found.delay == 0
    assert judged(nan, bad, change("rows_hot", "out", 39, severity="info"), right).outcome == judge.RIGHT


def test_delays_are_in_sampled_steps():
    nan = Fault("", ("loss_nonfinite",), "any", "nonfinite")
    bad = Written(WELL.loss[:40] + [float("nan")] * 60, WELL.norms, every=4)
    assert judged(nan, bad, change("loss_nonfinite", "", 48)).delay == 2


def test_a_healthy_training_has_no_alarm_and_learns():
    assert judge.judge_healthy(scenario(), WELL, []).outcome == judge.RIGHT
    assert judge.judge_healthy(scenario(), WELL, [change("x", "table", 5, severity="info")]).outcome \
        == judge.RIGHT
    found = judge.judge_healthy(scenario(), WELL, [change("x", "table", 5, phase="validation",
                                                          severity="warning")])
    assert found.outcome == judge.FALSE and found.false[0][:4] == ["x", "table", "validation", 5]
    idle = Written([1.0] * 100, WELL.norms)
    assert judge.judge_healthy(scenario(), idle, []).outcome == judge.INVALID
    assert not learnt(Written([1.0, float("nan")] * 20, {}), 1)[0]


@pytest.mark.parametrize("oracle, sick, expected", [
    ("exploded", {"norms": {"table": [1.0] * 50 + [101.0] * 50}}, {"table": 50}),
    ("exploded", {"loss": [1.0] * 50 + [4.1] * 50}, {"": 50}),
    ("exploded", {"loss": [1.0] * 50 + [-4.1] * 50}, {"": 50}),
    ("nonfinite", {"norms": {"table": [1.0, float("inf")]}}, {"table": 1}),
    ("nonfinite", {"raised": "Error", "layers": ["out"]}, {"table": 100, "out": 100, "": 100}),
    ("dead", {"outputs": {"out": [[0.0, 0, 1]] * 3 + [[0.99, 0, 1]] * 5}}, {"out": 3}),
    ("dead", {"outputs": {"out": [[0.0, 0, 1]] * 3 + [[0.99, 0, 1]] * 4}}, {}),
    ("saturated", {"outputs": {"out": [[0.0, 0.6, 1]] * 5}}, {"out": 0}),
    ("collapsed", {"outputs": {"out": [[0.0, 0, 1e-13]] * 5}}, {"out": 0}),
    ("frozen", {"ratios": {"table": [0.0] * 9, "out": [0.0, 0.1]}}, {"table": 0}),
    ("dominates", {"norms": {"table": [99.0] * 50 + [101.0] * 50, "a": [1.0] * 100, "b": [1.0] * 100}},
     {"table": 50}),
    ("alike", {"cosines": {"table": [0.1, 0.95, 0.96], "other": [0.9] * 3}}, {"table": 2}),
    ("overwritten", {"ratios": {"table": [2.0] * 25 + [0.5, 1.1, 1.2, 1.3]}}, {"table": 26})])
def test_the_oracle(oracle, sick, expected):
    record = Written(sick.get("loss", WELL.loss), sick.get("norms", {}))
    record.__dict__.update(sick)
    assert first_sick_steps(Fault("", ("x",), oracle=oracle), record, WELL) == expected


# ---- the table


def verdict(detector="", half="tuning", outcome=judge.RIGHT, **more):
    return judge.Verdict("name", half, detector and "fault", detector, outcome, steps=100, layers=10,
                         **more)


def test_the_table_counts_each_half_and_each_alarm():
    alarm = ["a", "table", "training", 5, 1, 1, 1]
    found = [verdict("a", delay=3.0), verdict("a", delay=5.0), verdict("a", outcome=judge.MISSED),
             verdict("a", "checking", judge.LATE, delay=30.0), verdict("a", outcome=judge.INVALID),
             verdict(), verdict(half="checking"), verdict(outcome=judge.FALSE, false=[alarm, alarm]),
             verdict("b", outcome=judge.UNKNOWN)]
    text = table.markdown(found, ["a", "c"], "2026-01-02")
    assert "| `a` | 2 of 3 | 0 of 1 | 5 / 30 | 1 of 2, 0 of 1 | 6.7e+02 |" in text
    assert "| `c` | - | - | - | 0 of 2, 0 of 1 | 0 |" in text
    assert "| `b` | not in this embmond: 1 faults wait |" in text
    assert "2 of 4 faulty" in text and "2 of 3 healthy" in text and "3,000 layer-steps" in text
    assert table.exit_status(found) == 1
    assert table.exit_status([verdict(), verdict("b", outcome=judge.UNKNOWN)]) == 0


def test_the_readmes_table_is_replaced_and_nothing_else():
    before = f"one\n{table.BEGIN}\nold\n{table.END}\ntwo\n"
    assert table.into_readme(before, "new") == f"one\n{table.BEGIN}\nnew\n{table.END}\ntwo\n"
    with pytest.raises(ValueError):
        table.into_readme("no marks", "new")


def test_embmonds_detectors_are_asked_of_embmond():
    said = subprocess.run([BUILD / "tools" / "detectors"], capture_output=True, text=True, check=True)
    code = pathlib.Path(ROOT / "daemon/detect/detect.c").read_text()
    assert said.stdout.split() == DETECTORS_PAGE.findall(code)
