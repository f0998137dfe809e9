"""What was said of a Keras example, against what the trainer wrote down itself (own_record.py).

As in monitored.py: it never asks embmond when a run became sick.
"""
import math
import os
import statistics

import monitored
from monitored import ALLOWED_DELAY, BUILD, ROOT

DETECTOR = {
    "vanishing": "gradient_vanishing",
    "exploding": "gradient_exploding",
    "diverging": "loss_diverged",
    "nan": "gradient_nonfinite",
}
TABLES = {
    "keras_recommender": ("inner_model/embedding", "inner_model/embedding_1"),
    "keras_sentiment": ("embedding",),
}
MODEL = ""  # the layer of what is said of the whole model


def environment(address=None, threads=2):
    """For a Keras trainer from the checkout, quiet. address: embmond's; None: it is given by
    `embmond --`."""
    kept = monitored.environment(address) if address else dict(os.environ)
    path = os.pathsep.join(filter(None, (str(ROOT / "client" / "python"), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "EMBMON_LIBRARY": str(BUILD / "libembmon.so"),
            "PYTHONFAULTHANDLER": "1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "0",  # else it says at every start that it is on
            "TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": str(threads)}


class Record:
    """steps, loss and {layer: norms} of a training, from its step 0 on."""

    def __init__(self, path):
        with open(path, encoding="ascii") as file:
            _, _, *layers = file.readline().split()
            rows = [[float(word) for word in line.split()] for line in file]
        self.steps = [int(row[0]) for row in rows]
        self.loss = [row[1] for row in rows]
        self.norms = {layer: [row[2 + n] for row in rows] for n, layer in enumerate(layers)}


def _vanished(norms, healthy):
    """Below a thousandth of the twin's, for 20 steps in a row."""
    low = [norm < 1e-3 * usual for norm, usual in zip(norms, healthy, strict=False)]
    return [all(low[i:i + 20]) and i + 20 <= len(low) for i in range(len(low))]


def first_sick_steps(fault, record, twin):
    """{layer: its first sick step}, of the layers that became sick; MODEL: by the loss. twin: the
    record of the healthy training with the same seed, of at least as many steps."""
    too_much = [not loss <= 5 * record.loss[0] for loss in record.loss]
    bad = {}
    if fault == "vanishing":
        bad = {layer: _vanished(norms, twin.norms[layer])
               for layer, norms in record.norms.items() if layer in twin.norms}
    elif fault == "exploding":
        bad = {layer: [not norm <= 100 * statistics.median(twin.norms[layer]) for norm in norms]
               for layer, norms in record.norms.items()}
        bad[MODEL] = too_much
    elif fault == "diverging":
        bad = {MODEL: too_much}
    elif fault == "nan":
        bad = {layer: [not math.isfinite(norm) for norm in norms]
               for layer, norms in record.norms.items()}
    return {layer: record.steps[steps.index(True)] for layer, steps in bad.items() if any(steps)}


class Verdict:
    """ok: what must be said of the run was said, in time. sick and named: steps, or None."""

    def __init__(self, example, fault, alerts, record, twin=None):
        alerts.new()
        firing = [x for x in alerts.all if x["state"] == "firing" and x["severity"] != "info"]
        self.sick = self.named = None
        self.others = sorted({x["detector"] for x in firing} - {DETECTOR.get(fault)})
        if fault == "none":
            self.ok, self.text = _healthy(alerts, record, firing)
            return
        at = {}  # layer: when it was first named
        for x in firing:
            if x["detector"] == DETECTOR[fault] and x["phase"] == "training":
                at.setdefault(x["layer"], x["step"])
        sick = first_sick_steps(fault, record, twin)
        self.sick = min(sick.values(), default=None)
        must = self._must(fault, TABLES[example], at, sick)
        self.named = max((at[layer] for layer in must if layer in at), default=None)
        # A rate far too high shows in the first update, before it shows in norm and loss; the
        # others cannot be known before they are there.
        early = fault == "exploding"
        self.ok = bool(must) and self.sick is not None and all(
            layer in at and at[layer] <= sick.get(layer, self.sick) + ALLOWED_DELAY
            and (early or at[layer] >= sick.get(layer, math.inf)) for layer in must)
        wrong = sorted(set(at) - set(record.norms) - {MODEL})
        if fault == "vanishing":  # layers that have no twin are the ones that vanish it
            wrong += [layer for layer in at if layer in twin.norms and layer not in sick]
        self.ok = self.ok and not wrong
        self.text = self._say(fault, must, at, wrong)

    @staticmethod
    def _must(fault, tables, at, sick):
        """The layers that must be named."""
        if fault == "vanishing":
            return list(tables)
        if fault == "exploding":
            return sorted(at, key=at.get)[:1]
        if fault == "diverging":
            return [MODEL]
        # The first in forward order; the tables stand side by side, so any of them is that.
        earliest = min(sick.values(), default=None)
        first = [table for table in tables if table in sick and sick[table] == earliest]
        return [table for table in first if table in at][:1] or first[:1]

    def _say(self, fault, must, at, wrong):
        if self.sick is None:
            return "the run did not become sick"
        detector = DETECTOR[fault]
        named = [f"{layer or 'the model'} at step {at[layer]}" for layer in must if layer in at]
        missed = [layer or "the model" for layer in must if layer not in at]
        text = f"{detector} on {' and '.join(named)}" if named else f"no {detector}"
        if named and missed:
            text += f", not on {' and '.join(missed)}"
        if wrong:
            text += f", wrongly on {', '.join(wrong)}"
        if not named and self.others:
            text += f" but {', '.join(self.others)}"
        return f"{text}; first sick step {self.sick}"


def _healthy(alerts, record, firing):
    """(ok, text). A run that learns nothing is not a healthy one, whatever is said of it."""
    if not alerts.path.exists():
        return False, "embmond has no such run"
    start, end = statistics.mean(record.loss[:5]), statistics.mean(record.loss[-20:])
    loss = f"loss {start:.3g} to {end:.3g} in {len(record.steps):,} steps"
    learnt = end < 0.9 * start
    said = "flagged: " + ", ".join(map(_said, firing)) if firing else "nothing flagged"
    return learnt and not firing, f"{said}; {loss}{'' if learnt else ', so it did not learn'}"


def _said(x):
    return (f"{x['detector']} {x['layer']} ({x['phase']}) at step {x['step']}, value {x['value']}, "
            f"threshold {x['threshold']}")
