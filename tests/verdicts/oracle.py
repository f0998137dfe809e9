"""Since when a training is sick: by the trainer's own record and that of its healthy twin. Nothing
here knows what embmond said, nor its thresholds.

first_sick_steps() gives {layer: first sick step}; MODEL stands for the model as a whole.
"""
import math
import statistics

MODEL = ""


def _first(record, bad):
    """{layer: step} of {layer: [is it sick at this step]}."""
    return {layer: record.steps[flags.index(True)] for layer, flags in bad.items() if True in flags}


def _lasting(flags, n):
    """True where `n` begin that are all true."""
    return [all(flags[i:i + n]) and i + n <= len(flags) for i in range(len(flags))]


def _vanished(record, twin, fault):
    """Below a thousandth of the twin's norm, 20 steps in a row. What a model does while its rate warms
    up is not judged: norms are small then, and meant to be."""
    return _first(record, {
        layer: _lasting([step >= record.warm_until and a < 1e-3 * b for step, a, b in
                         zip(record.steps, norms, twin.norms[layer])], 20)
        for layer, norms in record.norms.items() if layer in twin.norms})


def _exploded(record, twin, fault):
    """A norm of 100 times the twin's usual one; or a loss far off any of the twin's."""
    bad = {layer: [not norm <= 100 * statistics.median(twin.norms[layer]) for norm in norms]
           for layer, norms in record.norms.items() if layer in twin.norms}
    low, high = min(twin.loss), max(twin.loss)
    far = 3 * max(abs(low), abs(high))
    bad[MODEL] = [not low - far <= loss <= high + far for loss in record.loss]
    return _first(record, bad)


def _nonfinite(record, twin, fault):
    if record.raised:  # at the step that is not in the record any more
        return dict.fromkeys([*record.tables, *record.layers, MODEL], len(record.steps))
    bad = {layer: [not math.isfinite(norm) for norm in norms] for layer, norms in record.norms.items()}
    bad[MODEL] = [not math.isfinite(loss) for loss in record.loss]
    return _first(record, bad)


def _spike(record, twin, fault):
    """At the step of the bad batch, if it did pull at a layer five times as hard as the good one."""
    since = fault.since
    return {layer: since for layer, norms in record.norms.items() if layer in twin.norms
            and not norms[since] <= 5 * max(twin.norms[layer][since - 10:since + 1])}


def _since(record, twin, fault):
    """It is known where the mistake was put in: ids, padding, shapes. Of all layers."""
    return {layer: fault.since for layer in [*record.tables, *record.layers, MODEL]}


def _out_of_range(record, twin, fault):
    since = record.out_of_range
    return {} if since is None else {layer: since for layer in [*record.tables, MODEL]}


def _outputs(column, limit):
    def sick(record, twin, fault):
        """Five steps in a row; and what no longer gets a gradient because of it."""
        at = {path: _lasting([limit(row[column]) for row in rows], 5)
              for path, rows in record.outputs.items()}
        found = _first(record, at)
        return _vanished(record, twin, fault) | found if found else {}
    return sick


def _frozen(record, twin, fault):
    """No step changed anything, from the first on."""
    return {layer: 0 for layer, ratios in record.ratios.items() if not any(ratios)}


def _dominates(record, twin, fault):
    """A table pulls three steps in a row a hundred times as hard as the other layers do."""
    def far(layer, step):
        others = [norms[step] for name, norms in record.norms.items() if name != layer]
        return record.norms[layer][step] > 100 * statistics.median(others)
    return _first(record, {table: _lasting([far(table, step) for step in record.steps], 3)
                           for table in record.tables})


def _overwritten(record, twin, fault):
    """Three steps in a row changed the layer by more than all of it, past a warm start."""
    return _first(record, {
        layer: _lasting([step >= 25 and not ratio <= 1 for step, ratio in zip(record.steps, ratios)], 3)
        for layer, ratios in record.ratios.items()})


def _alike(record, twin, fault):
    """The rows of a table have come to point the same way."""
    return _first(record, {table: [cosine > 0.95 for cosine in cosines]
                           for table, cosines in record.cosines.items()})


ORACLES = {
    "vanished": _vanished, "exploded": _exploded, "nonfinite": _nonfinite, "spike": _spike,
    "since": _since, "out_of_range": _out_of_range, "frozen": _frozen, "overwritten": _overwritten,
    "dominates": _dominates, "alike": _alike,
    "dead": _outputs(0, lambda zeros: zeros >= 0.99),
    "saturated": _outputs(1, lambda share: share > 0.5),
    "collapsed": _outputs(2, lambda spread: spread < 1e-12),
}


def first_sick_steps(fault, record, twin):
    return ORACLES[fault.oracle](record, twin, fault)


def learnt(record, share):
    """(did a healthy training learn, its first and its last losses)."""
    n = len(record.loss)
    start, end = statistics.mean(record.loss[:max(5, n // 20)]), statistics.mean(record.loss[-n // 5:])
    finite = all(map(math.isfinite, record.loss))
    return finite and end < share * start, start, end
