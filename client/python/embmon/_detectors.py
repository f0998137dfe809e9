"""The detectors the daemon has, for what names them: stop_on, thresholds and ignore."""

import math
from numbers import Real
from typing import Any, Iterable, Mapping

DETECTORS = ("activation_collapsed", "activation_dead", "activation_nonfinite",
             "activation_saturated", "coverage_drop", "embedding_collapse", "embedding_dominates",
             "gradient_exploding", "gradient_nonfinite", "gradient_spike", "gradient_underflow",
             "gradient_vanishing", "ids_dtype", "ids_out_of_range", "ids_padding", "layer_frozen",
             "loss_diverged", "loss_nonfinite", "mask_mismatch", "padding_row_gradient",
             "padding_side", "rows_dead", "rows_hot", "rows_moved_untouched", "sequence_empty",
             "sequence_length_drift", "shape_changed", "shape_mismatch", "trainer_stalled",
             "update_ratio")
OF_MODEL = ("loss_diverged", "loss_nonfinite", "trainer_stalled")  # judge no single layer
THRESHOLDS = {
    "activation_collapsed": ("variation",),
    "activation_dead": ("share", "units"),
    "activation_saturated": ("share",),
    "coverage_drop": ("factor",),
    "embedding_collapse": ("cosine", "rank"),
    "embedding_dominates": ("factor",),
    "gradient_exploding": ("layer", "model", "update_ratio"),
    "gradient_spike": ("layer", "model"),
    "gradient_underflow": ("rise",),
    "gradient_vanishing": ("ratio", "norm"),
    "ids_padding": ("share", "sigmas", "sequences"),
    "loss_diverged": ("factor",),
    "padding_side": ("sequences",),
    "rows_dead": ("share",),
    "rows_hot": ("share", "rise"),
    "sequence_length_drift": ("sequences",),
    "trainer_stalled": ("seconds", "steps"),
    "update_ratio": ("high", "low"),
}
SEVERITIES = ("info", "warning", "critical")  # each includes those after it


def stop_words(words: Iterable[str] | str) -> frozenset[str]:
    """The detectors and severities to stop on, severities spelled out. ValueError: unknown."""
    found = set()
    for word in (words,) if isinstance(words, str) else words:
        if word in SEVERITIES:
            found.update(SEVERITIES[SEVERITIES.index(word):])
        elif word in DETECTORS:
            found.add(word)
        else:
            raise ValueError(f"stop_on: {word!r} is neither a detector nor a severity: "
                             f"{', '.join(DETECTORS + SEVERITIES)}")
    return frozenset(found)


def threshold_rows(thresholds: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, float]]:
    """(detector, layer glob, key, value) of {detector: {key: value}}, for all layers, or
    {detector: {glob: {key: value}}}. ValueError: unknown detector or key, or what can be no
    threshold or no pattern."""
    rows = []
    for detector, given in dict(thresholds).items():
        if detector not in THRESHOLDS:
            raise ValueError(f"thresholds: {detector!r} is none of {', '.join(THRESHOLDS)}")
        plain = {key: value for key, value in given.items() if not isinstance(value, Mapping)}
        globs = {glob: value for glob, value in given.items() if isinstance(value, Mapping)}
        for glob, keys in [("*", plain), *globs.items()]:
            for key, value in keys.items():
                if key not in THRESHOLDS[detector]:
                    raise ValueError(f"thresholds: {detector} has no {key!r}, but "
                                     f"{', '.join(THRESHOLDS[detector])}")
                if not isinstance(value, Real) or not 0 <= float(value) < math.inf:
                    raise ValueError(f"thresholds: {detector} {key}: {value!r} is not a finite "
                                     "number >= 0")
                _check_glob("thresholds", detector, glob)
                rows.append((detector, glob, key, float(value)))
    return rows


def ignore_rows(ignore: Iterable[str | tuple[str, str]]) -> list[tuple[str, str]]:
    """(detector, layer glob) of detectors, for all layers, and such pairs. ValueError: unknown."""
    rows = [(row, "*") if isinstance(row, str) else tuple(row)
            for row in ((ignore,) if isinstance(ignore, str) else ignore)]
    for row in rows:
        if len(row) != 2 or row[0] not in DETECTORS or not isinstance(row[1], str):
            raise ValueError(f"ignore: {row!r} is not a detector, or a detector and a pattern of "
                             f"layers; detectors are {', '.join(DETECTORS)}")
        _check_glob("ignore", *row)
    return rows


def _check_glob(what: str, detector: str, glob: str) -> None:
    """ValueError for a pattern of layers that the library or the daemon would refuse."""
    if not isinstance(glob, str) or not 0 < len(glob.encode(errors="replace")) <= 255 \
            or not glob.isprintable():
        raise ValueError(f"{what}: {detector}: {glob!r} is not a pattern of 1 to 255 bytes")
    if detector in OF_MODEL and glob.strip("*"):
        raise ValueError(f"{what}: {detector} judges the whole model: its layers are \"*\", not "
                         f"{glob!r}")
