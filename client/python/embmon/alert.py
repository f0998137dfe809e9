"""An alert change, as the daemon sent it back to the trainer."""

import dataclasses

from . import _lib

_SEVERITY = {value: name for name, value in _lib.SEVERITIES.items()}
_STATE = {value: name for name, value in _lib.ALERT_STATES.items()}
_PHASE = {value: name for name, value in _lib.PHASES.items()}


@dataclasses.dataclass(frozen=True)
class Alert:
    """One change of one alert: the fields of struct embmon_notice."""

    severity: str  # "info", "warning" or "critical"
    state: str  # "pending", "firing" or "resolved"
    phase: str  # "training", "validation" or "inference"
    step: int  # of this change
    first_step: int  # at which the condition was first met
    time: float  # seconds since 1970
    value: float  # what was measured; NaN where there is no number
    threshold: float  # what it was compared with; NaN where there is none
    baseline: float  # what is usual for this layer; NaN where there is none
    detector: str  # such as "gradient_vanishing"
    layer: str  # its path; "" for the model as a whole
    variable: str  # "" for a table or a whole layer
    signal: str  # "gradient", "activation", ...; "" where none
    reason: str  # of resolved: "cleared", "new level", "closed"; else ""
    summary: str  # one sentence: what happened
    hint: str  # why it probably happened, and what to check next

    @property
    def when(self) -> str:
        """"step 7", or "step 0 of validation": each phase counts its own."""
        return f"step {self.step}" + ("" if self.phase == "training" else f" of {self.phase}")

    @property
    def title(self) -> str:
        """In a few words: how bad, what, where and when."""
        where = "/".join(part for part in (self.layer, self.variable) if part)
        words = (self.severity, self.state, self.detector, where, self.when)
        return " ".join(word for word in words if word)

    def __str__(self) -> str:
        return f"{self.title}: {self.summary}"

    @classmethod
    def from_notice(cls, notice: _lib.Notice) -> "Alert":
        """From the C struct; a word of a newer daemon stays the number it is."""
        values = {field.name: getattr(notice, field.name) for field in dataclasses.fields(cls)}
        for name, value in values.items():
            if isinstance(value, bytes):  # cut to fit, perhaps inside a character
                values[name] = value.decode("utf-8", "replace")
        values["severity"] = _SEVERITY.get(notice.severity, str(notice.severity))
        values["state"] = _STATE.get(notice.state, str(notice.state))
        values["phase"] = _PHASE.get(notice.phase, str(notice.phase))
        return cls(**values)
