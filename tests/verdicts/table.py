"""The verdicts as a table, as text and as JSON; and the README's copy of it."""
import dataclasses
import json
import re
import statistics

from verdicts.judge import FAILED, FALSE, INVALID, LATE, MISSED, RIGHT, UNKNOWN

HALVES = ("tuning", "checking")
HEADING = ("detector", "right, tuning half", "right, checking half",
           "delay in sampled steps: median / worst", "healthy runs with a false alarm, by half",
           "per 10⁶ layer-steps")
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"


def _of(verdicts, half):
    return [v for v in verdicts if v.half == half]


def _right(verdicts):
    judged = [v for v in verdicts if v.outcome in (RIGHT, MISSED, LATE, FALSE)]
    good = sum(v.delay is not None and v.outcome != LATE for v in judged)
    return f"{good} of {len(judged)}" if judged else "-"


def _delays(verdicts):
    delays = [v.delay for v in verdicts if v.delay is not None]
    return f"{statistics.median(delays):g} / {max(delays):g}" if delays else "-"


def _alarms(verdicts, detector):
    """Runs with a false alarm of it."""
    return [v for v in verdicts if any(alarm[0] == detector for alarm in v.false)]


def row(detector, verdicts, known):
    """One line, as cells."""
    of_it = [v for v in verdicts if v.detector == detector]
    healthy = [v for v in verdicts if not v.fault and v.outcome in (RIGHT, FALSE)]
    if detector not in known:
        return [f"`{detector}`", f"not in this embmond: {len(of_it)} faults wait", "", "", "", ""]
    alarms = [f"{len(_alarms(_of(healthy, half), detector))} of {len(_of(healthy, half))}"
              for half in HALVES]
    steps = sum(v.steps * v.layers for v in healthy)
    count = sum(alarm[0] == detector for v in healthy for alarm in v.false)
    return [f"`{detector}`", *(_right(_of(of_it, half)) for half in HALVES), _delays(of_it),
            ", ".join(alarms), f"{1e6 * count / steps:.2g}" if steps else "-"]


def markdown(verdicts, known, date):
    """known: the detectors of this embmond, in its order."""
    wanted = {v.detector for v in verdicts if v.fault}
    rows = [row(d, verdicts, known) for d in known]
    rows += [row(d, verdicts, known) for d in sorted(wanted - set(known))]
    healthy = [v for v in verdicts if not v.fault and v.outcome in (RIGHT, FALSE)]
    faulty = [v for v in verdicts if v.fault and v.outcome in (RIGHT, MISSED, LATE, FALSE)]
    clean = sum(not v.false for v in healthy)
    good = sum(v.delay is not None and v.outcome != LATE for v in faulty)
    steps = sum(v.steps * v.layers for v in healthy)
    lines = [f"Measured on {date}: {good} of {len(faulty)} faulty trainings named rightly and in time; "
             f"{clean} of {len(healthy)} healthy ones without a warning, in {steps:,} layer-steps.", "",
             "| " + " | ".join(HEADING) + " |", "|---" * len(HEADING) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows])


def listing(verdicts):
    """Each that is not right, with its name."""
    order = (FAILED, INVALID, FALSE, MISSED, LATE)
    lines = [f"{v.outcome}: {v.name} ({v.half} half): {v.text}" for outcome in order
             for v in verdicts if v.outcome == outcome]
    return "\n".join(lines)


def exit_status(verdicts):
    return int(any(v.outcome not in (RIGHT, UNKNOWN) for v in verdicts))


def write(path, verdicts, known, date):
    path.write_text(json.dumps({
        "date": date, "detectors": list(known),
        "verdicts": [dataclasses.asdict(v) for v in verdicts]}, indent=1))


def into_readme(readme, table):
    """The README's text with the table between its marks."""
    if BEGIN not in readme or END not in readme:
        raise ValueError(f"the README has no {BEGIN} and {END}")
    return re.sub(f"(?s){re.escape(BEGIN)}.*?{re.escape(END)}",
                  lambda _: f"{BEGIN}\n{table}\n{END}", readme)
