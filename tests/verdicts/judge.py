"""What embmond said of one training, against its record."""
import dataclasses

from verdicts.oracle import MODEL, first_sick_steps, learnt

SEVERITIES = ("info", "warning", "critical")
# How a training may have ended for the benchmark.
RIGHT, MISSED, LATE, FALSE, INVALID, FAILED, UNKNOWN = (
    "right", "missed", "late", "false alarm", "not sick", "failed", "unknown detector")


@dataclasses.dataclass
class Verdict:
    """name, half, fault of the scenario; detector: the one its fault is there for ("" if healthy).
    by: the detectors that were right in time. delay: sampled steps from the first sick one.
    false: [detector, layer, step, value, threshold, baseline] of each false alarm.
    steps, layers: how much there was to be wrong about."""

    name: str
    half: str
    fault: str = ""
    detector: str = ""
    outcome: str = RIGHT
    text: str = ""
    delay: float | None = None
    by: list = dataclasses.field(default_factory=list)
    false: list = dataclasses.field(default_factory=list)
    others: list = dataclasses.field(default_factory=list)
    steps: int = 0
    layers: int = 0


def _severe(change, least):
    return SEVERITIES.index(change["severity"]) >= SEVERITIES.index(least)


def _said(change):
    text = f"{change['detector']} {change['layer'] or 'model'} ({change['phase']}) at step " \
           f"{change['step']}: value {_short(change['value'])}, threshold {_short(change['threshold'])}"
    return text + (f", baseline {_short(change['baseline'])}" if change.get("baseline") else "")


def _short(number):
    return f"{number:.3g}" if isinstance(number, (int, float)) else str(number)


def firing(changes, least="warning"):
    """The first change to firing of each alert, at that severity or above."""
    found = {}
    for x in changes:
        if x["state"] == "firing" and _severe(x, least):
            found.setdefault((x["detector"], x["layer"], x["phase"], x["variable"]), x)
    return list(found.values())


def judge_healthy(scenario, record, changes):
    """changes: of alerts.jsonl, in order."""
    verdict = Verdict(scenario.name, scenario.model.half, steps=len(record.steps),
                      layers=len(record.layers))
    good, start, end = learnt(record, scenario.model.learns)
    verdict.text = f"loss {start:.3g} to {end:.3g} in {len(record.steps)} steps"
    alarms = firing(changes)
    verdict.false = [_alarm(x) for x in alarms]
    if not good:
        verdict.outcome, verdict.text = INVALID, verdict.text + ", so it did not learn"
    elif alarms:
        verdict.outcome = FALSE
    if alarms:
        verdict.text += "; " + "; ".join(map(_said, alarms))
    return verdict


def _alarm(x):
    return [x[key] for key in ("detector", "layer", "phase", "step", "value", "threshold", "baseline")]


def judge_faulty(scenario, fault, record, twin, changes):
    """twin: the record of the healthy training."""
    verdict = Verdict(scenario.name, scenario.model.half, scenario.fault, fault.right[0],
                      steps=len(record.steps), layers=len(record.layers))
    sick = first_sick_steps(fault, record, twin)
    if not sick:
        verdict.outcome, verdict.text = INVALID, "the training did not become sick"
        return verdict
    all_fired = firing(changes, "info")
    early = [x for x in all_fired if _severe(x, "warning") and _too_early(x, fault)]
    verdict.false = [_alarm(x) for x in early]
    right = [x for x in all_fired if x not in early and x["detector"] in fault.right
             and x["phase"] == fault.phase and _severe(x, fault.severity)
             and (fault.early or x["step"] >= _since(sick, x["layer"]))
             and _is_right_layer(x["layer"], fault, record, sick)]
    verdict.others = sorted({x["detector"] for x in all_fired if _severe(x, "warning")}
                            - set(fault.right))
    named = {}
    for x in right:
        named.setdefault(x["layer"], x)
    wanted = [t for t in record.tables if t in sick] if fault.layers == "tables" else None
    _time(verdict, fault, record, sick, named, wanted)
    if verdict.false:
        verdict.text += "; too early: " + "; ".join(map(_said, early))
        verdict.outcome = FALSE if verdict.outcome == RIGHT else verdict.outcome
    return verdict


def _too_early(x, fault):
    """Before there was anything to be alarmed about."""
    return x["step"] < fault.since and x["phase"] == fault.phase or \
        fault.phase != "training" and x["phase"] == "training"


def _since(sick, layer):
    """Of a layer that the oracle has no step for: since the first of all."""
    return sick.get(layer, min(sick.values()))


def _is_right_layer(layer, fault, record, sick):
    return {"tables": layer in sick and layer in record.tables, "table": layer in record.tables,
            "sick": layer in sick, "model": layer == MODEL, "any": True}[fault.layers]


def _time(verdict, fault, record, sick, named, wanted):
    """Was all that had to be named named in time? wanted: layers, or None: one is enough."""
    first = min(sick.values())
    delays = {layer: (x["step"] - _since(sick, layer)) / record.every for layer, x in named.items()}
    if not named or (wanted is not None and not set(wanted) <= set(named)):
        missing = [layer for layer in wanted or () if layer not in named]
        verdict.outcome = MISSED
        verdict.text = f"sick at step {first}: none of {', '.join(fault.right)}"
        if named:
            verdict.text = f"sick at step {first}: not named: {', '.join(missing)}"
        if verdict.others:
            verdict.text += f", but {', '.join(verdict.others)}"
        return
    chosen = max(delays, key=delays.get) if wanted else min(delays, key=delays.get)
    verdict.delay = delays[chosen]
    verdict.by = sorted({x["detector"] for layer, x in named.items()
                         if delays[layer] <= fault.within})
    x = named[chosen]
    verdict.text = f"sick at step {_since(sick, chosen)}: {x['detector']} {chosen or 'model'} at step " \
                   f"{x['step']}"
    if verdict.delay > fault.within:
        verdict.outcome = LATE
