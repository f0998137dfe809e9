"""What `stop_on` may name: the detectors the daemon has, and severities with what they include."""

from typing import Iterable

DETECTORS = ("activation_nonfinite", "gradient_exploding", "gradient_nonfinite", "gradient_spike",
             "gradient_vanishing", "loss_diverged", "loss_nonfinite")
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
