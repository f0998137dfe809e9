"""What a framework's callback needs between the training and the Client: which step it is, what is
wanted at it, alerts that come back, and that nothing of the monitor's ever reaches the training.

Every method may be called by a hook: none raises. The first exception within is logged as one
warning, and from then on the monitor does nothing.
"""

import collections
import functools
import logging
import math
import sys
import threading
import time
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from ._arrays import is_dtype
from ._detectors import ignore_rows, stop_words, threshold_rows
from ._log_stream import is_logged_here
from ._vocabulary import Vocabulary
from .alert import Alert
from .client import Client, Summary
from .errors import AlreadyDeclaredError, ClosedError, LimitError

SIGNALS = ("gradient", "activation", "ids", "update", "weight")
PHASES = ("training", "validation", "inference")
EXPLANATIONS = 10  # alerts that are said when a step has raised
FIRED_KEPT = 1000  # alerts that the summary knows of: the newest
NOTICES_A_SECOND = 128  # taken from the client, which keeps the newest 64
_SEVERITIES = ("info", "warning", "critical")
_POLLED = 8

log = logging.getLogger("embmon")


class Wants(NamedTuple):
    """What is to be posted at a step."""

    step: int = 0
    sampled: bool = False  # anything at all
    gradient: bool = False
    activation: bool = False
    weight: bool = False
    update: bool = False
    ids: bool = False


def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that does nothing once the monitor has failed, and whose exceptions end the monitor
    instead of the training. Gives None then."""

    @functools.wraps(method)
    def call(self: "Monitor", *arguments: Any, **named: Any) -> Any:
        if self.failed:
            return None
        try:
            return method(self, *arguments, **named)
        except Exception as error:  # not KeyboardInterrupt: that is the user's
            self.fail(error)
            return None

    return call


class Monitor:
    """One run of one process. Steps of each phase are counted over the whole run."""

    def __init__(self, client: Client, signals: Iterable[str] = SIGNALS,
                 on_alert: Callable[[Alert], Any] | None = None,
                 stop_on: Iterable[str] = (), thresholds: Mapping[str, Any] | None = None,
                 ignore: Iterable[Any] = (), vocabulary: Any = None) -> None:
        """signals: some of SIGNALS. thresholds, ignore: as threshold_rows() and ignore_rows() take
        them; vocabulary: as Vocabulary. ValueError: an unknown signal, detector, severity or key."""
        self.signals = frozenset((signals,) if isinstance(signals, str) else signals)
        unknown = sorted(self.signals.difference(SIGNALS), key=str)
        if unknown:
            raise ValueError(f"signals: {unknown[0]!r} is none of {', '.join(SIGNALS)}")
        self._stop_on = stop_words(stop_on)
        self._rules: list[tuple[Any, ...]] = [*threshold_rows(thresholds or {}), *ignore_rows(ignore)]
        if on_alert is not None and not callable(on_alert):
            raise TypeError(f"on_alert: {on_alert!r} cannot be called")
        self._on_alert = on_alert
        self.vocabulary = Vocabulary(vocabulary)
        self.client = client
        self.failed = False
        self.stopped: Alert | None = None  # the alert that asked to stop
        self.fired: collections.deque[Alert] = collections.deque(maxlen=FIRED_KEPT)  # changes to firing
        self.fired_count = 0  # of them, those that are forgotten too
        self._polled, self._taken = -math.inf, 0  # notices taken in the second that began then
        self.counts = dict.fromkeys(PHASES, 0)  # steps ended, and the number of the next
        self.own_ns = 0  # what was spent before the step under way, where it is told
        self._next_sampled = dict.fromkeys(PHASES, True)
        self._open: tuple[str, Wants] | None = None  # the step under way
        self._phase = "training"
        self._targets: list[int] = []
        self._tables: list[str] = []  # paths, of those that were declared
        self._shapes: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # as posted last
        self._named = False
        self._alert_failed = False
        self._first: int | None = None  # training step of this process
        self._lock = threading.RLock()

    # ---- failing

    def fail(self, error: BaseException) -> None:
        """Ends the monitor with one warning; the training goes on."""
        if self.failed:
            return
        self.failed = True
        if isinstance(error, ClosedError):
            log.warning("embmon: the monitor is closed; training goes on without it")
        else:
            log.warning("embmon: monitoring ends, training goes on: %s: %s", type(error).__name__,
                        error)
        log.debug("embmon: the monitor's error", exc_info=error)

    # ---- targets

    @guarded
    def declare_layer(self, path: str, kind: str, **named: Any) -> int:
        """Its id; keywords as Client.layer()."""
        target = self.client.layer(path, kind, **named)
        if target not in self._targets:
            self._targets.append(target)
            if kind == "embedding":
                self._name_ids(target, path)
        return target

    def _name_ids(self, target: int, path: str) -> None:
        """Says what the ids of a new table stand for. That this cannot be done costs the words."""
        self._tables.append(path)
        words = self.vocabulary.of(path)
        if words is None:
            return
        problem = self.vocabulary.problem(self._tables)
        if problem:
            log.warning("embmon: %s", problem)
            return
        try:
            self.client.vocabulary(target, words)
        except (AlreadyDeclaredError, LimitError) as error:
            log.warning("embmon: alerts about %s will name ids without their words: %s", path, error)

    @guarded
    def declare_variable(self, layer: int, name: str, shape: Any, dtype: Any) -> int:
        """Its id."""
        return self.client.variable(layer, name, shape, dtype)

    # ---- steps

    @guarded
    def start(self, step: int = 0) -> None:
        """Training begins or goes on: at least at step `step`, and not at one the run has."""
        rules, self._rules = self._rules, []
        for rule in rules:  # not before: the first call opens the connection
            (self.client.threshold if len(rule) == 4 else self.client.ignore)(*rule)
        known = self.client.next_step or 0
        self.counts["training"] = max(self.counts["training"], step, known)
        if self._first is None:
            self._first = self.counts["training"]

    def begin(self, phase: str) -> Wants:
        """The next step of `phase` begins; one that is still open ends. What to post at it."""
        return self._begin(phase) or Wants()

    @guarded
    def _begin(self, phase: str) -> Wants:
        with self._lock:
            self._finish()
            self._turn_to(phase)
            step = self.counts[phase]
            wants = self._wants(phase, step) if self._next_sampled[phase] else Wants(step)
            self._open = phase, wants
            return wants

    def pass_by(self, phase: str, step_ends: Callable[[int], int] | None = None,
                asks: bool = True) -> bool:
        """Ends the step under way and begins the next one, where that is all there is to do. False: it
        is not, and begin() has to do it; also now and then, so that it is looked what came back. Short,
        for it is run at each step, and finds nothing of itself in the processor's cache.
        step_ends: ends it instead of the client, is told own_ns, and says the same. asks: who runs the
        step wants to know what is wanted of it; nobody who posts by a gate does."""
        opened = self._open
        if opened is None or self.failed:
            return False
        wants = opened[1]
        step = wants.step
        if phase != opened[0] or phase != self._phase or (wants.sampled and asks) or \
                (step_ends is None and step % _POLLED == 0):
            return False
        try:
            with self._lock:
                if self._open is not opened:
                    return False
                self._open = None
                self.counts[phase] = step + 1
                result = step_ends(self.own_ns) if step_ends else self.client.step(step)
                self._next_sampled[phase] = result != 0
                if result < 0 or (result and asks):
                    return False
                self._open = phase, Wants(step + 1, True) if result else Wants(step + 1)
            return True
        except Exception as error:
            self.fail(error)
            return False

    def _wants(self, phase: str, step: int) -> Wants:
        """At a step that is sampled."""
        return Wants(step, True, *(self._any_wanted(signal, phase) for signal in
                                   ("gradient", "activation", "weight", "update", "ids")))

    def _turn_to(self, phase: str) -> None:
        if phase != self._phase:
            self.client.phase(phase)
            self._phase = phase

    def _any_wanted(self, signal: str, phase: str) -> bool:
        """By any target; those that do not want it refuse the post."""
        if signal not in self.signals or (
                phase != "training" and signal not in ("activation", "ids")):
            return False
        # Before the first step is traced no target is known.
        return not self._targets or any(self.client.wanted(t, signal) for t in self._targets)

    def _finish(self) -> None:
        if self._open is None:
            return
        phase, wants = self._open
        self._open = None
        self.counts[phase] = wants.step + 1
        self._next_sampled[phase] = self.client.step(wants.step)

    @guarded
    def sampled_step(self, phase: str, loss: float | None = None) -> int | None:
        """As step_of(), of a step that is sampled, or that is to be now: one whose loss is NaN or
        infinite is posted, and those that follow are, so that they say why."""
        with self._lock:
            if self._open is None or self._open[0] != phase:
                return None
            wants = self._open[1]
            if not wants.sampled and loss is not None and not math.isfinite(loss):
                self.client.scalar("loss", wants.step, loss)  # the library wants more from now on
                wants = self._wants(phase, wants.step)
                if any(wants[2:]):
                    self._open = phase, wants
            return self._open[1].step if self._open[1].sampled else None

    @guarded
    def finish(self, step: int | None = None) -> None:
        """The open step is complete (if it is `step`): all its posts have been made."""
        with self._lock:
            if self._open is not None and step in (None, self._open[1].step):
                self._finish()

    @guarded
    def rest(self) -> None:
        """Nothing is trained until the next step begins: that it does not come is no stall."""
        with self._lock:
            if self._phase == "training" and self._open is None:
                self.client.phase("inference")
                self._phase = "inference"

    @guarded
    def cancel(self) -> None:
        """The open step never ran: the next one gets its number."""
        with self._lock:
            self._open = None

    @guarded
    def gate(self) -> int:
        """Of a graph that posts by itself: the address of a new one, shut."""
        return self.client.gate()

    def is_due(self, phase: str) -> bool:
        """Is it time to look what came back? At steps of which nothing is posted not each time."""
        return self._next_sampled[phase] or self.counts[phase] % _POLLED == 0 or \
            (self._open is not None and self._open[1].sampled)

    def begun(self, phase: str) -> int:
        """Steps, with the one under way."""
        return self.counts[phase] + (self.open_phase == phase)

    @property
    def open_phase(self) -> str | None:
        """Of the step under way."""
        opened = self._open
        return opened[0] if opened else None

    def step_of(self, phase: str) -> int | None:
        """The number of the step under way, where it is of this phase."""
        opened = self._open
        return opened[1].step if opened and opened[0] == phase else None

    @property
    def open_wants(self) -> Wants | None:
        """Of the step under way."""
        opened = self._open
        return opened[1] if opened else None

    # ---- posts

    @guarded
    def post(self, target: int, signal: str, step: int, array: Any) -> None:
        """An array, summarised in place."""
        self.client.post(target, signal, step, array)

    @guarded
    def post_rows(self, target: int, signal: str, step: int, ids: Any, values: Any) -> None:
        """ids [n] int32 or int64, values [n, columns]."""
        self.client.post_rows(target, signal, step, ids, values)

    @guarded
    def post_summary(self, target: int, signal: str, step: int, summary: Summary) -> None:
        self.client.post_summary(target, signal, step, summary)

    @guarded
    def post_ids(self, target: int, step: int, ids: Any, mask: Any, length: int) -> None:
        """What reaches a table; length: of the sequences, 0 where there are none."""
        self.client.post_ids(target, step, ids, mask=mask, sequence_length=length)

    @guarded
    def post_fed(self, target: int, name: str, step: int, ids: Any, length: int) -> None:
        """The same as the user fed it, under its name."""
        self.client.post_fed(target, name, step, ids, sequence_length=length)

    @guarded
    def post_shape(self, phase: str, target: int, role: str, dims: Sequence[int | None], *,
                   index: int = 0, inputs: int = 0, axis: int = 0, dtype: str | None = None) -> None:
        """Where it is not the one that was posted last in this phase: at its current step."""
        key = (phase, target, role, index, inputs)
        value = (tuple(dims), dtype)
        with self._lock:
            if self._shapes.get(key) == value or self.open_phase not in (None, phase):
                return
            self._shapes[key] = value
            self._turn_to(phase)
            self.client.post_shape(target, self.counts[phase], role, list(dims), index=index,
                                   inputs=inputs, axis=axis,
                                   dtype=dtype if is_dtype(dtype) else None)

    @guarded
    def scalar(self, name: str, step: int, value: float) -> None:
        self.client.scalar(name, step, value)

    @guarded
    def epoch(self, epoch: int) -> None:
        """Epoch 0, 1, ... is complete."""
        self.client.epoch(epoch)

    # ---- what comes back

    @guarded
    def poll(self) -> None:
        """Takes the alerts that came: calls on_alert, remembers whether to stop. On the training
        thread, between steps."""
        if not self._named and self.client.run is not None:
            self._named = True
            say(f"embmon: run {self.client.run!r}")
        # A thousand a second, which no daemon has reason to say, would be felt by the training.
        now = time.monotonic()
        if now - self._polled < 1 and self._taken >= NOTICES_A_SECOND:
            return
        if now - self._polled >= 1:
            self._polled, self._taken = now, 0
        notices = self.client.notices()
        self._taken += len(notices)
        for alert in notices:
            if alert.state not in ("firing", "resolved"):
                continue
            if alert.state == "firing":
                self.fired.append(alert)
                self.fired_count += 1
                if self.stopped is None and self._stop_on & {alert.detector, alert.severity}:
                    self.stopped = alert
                    say(f"embmon: training stops: {alert.title if self._is_logged() else alert}")
            self._tell(alert)

    @guarded
    def explain(self, seconds: float) -> None:
        """A step has raised. Waits so long at most for alerts that say why, and says them where the
        daemon has not: no summary will come any more."""
        if not self.client.connected:
            return
        told, end = self.fired_count, time.monotonic() + seconds
        self.poll()
        while self.fired_count == told and time.monotonic() < end:
            time.sleep(0.005)
            self.poll()
        new = min(self.fired_count - told, len(self.fired))
        alerts = [] if self._is_logged() else list(self.fired)[len(self.fired) - new:]
        for alert in alerts[:EXPLANATIONS]:
            say(f"embmon: {alert}\n  {alert.hint}" if alert.hint else f"embmon: {alert}")
        if len(alerts) > EXPLANATIONS:
            say(f"embmon: and {len(alerts) - EXPLANATIONS} more alerts")

    def _is_logged(self) -> bool:
        """Does the user see alerts in the daemon's log already, where our own lines go?"""
        return is_logged_here(self.client.address)

    def _tell(self, alert: Alert) -> None:
        if self._on_alert is None:
            return
        try:
            self._on_alert(alert)
        except Exception as error:
            if not self._alert_failed:
                self._alert_failed = True
                log.warning("embmon: on_alert raised %s: %s (said once)", type(error).__name__, error,
                            exc_info=error)

    @property
    def connected(self) -> bool:
        """Is the daemon there?"""
        return self.client.connected

    def say_summary(self) -> None:
        """At the end of a training; in one line where the alerts have been shown."""
        text = self.summary()
        say(text.partition("\n")[0] if self._is_logged() else text)

    def summary(self) -> str:
        """One line: run, steps, layers, alerts, losses; more lines for the alerts."""
        stats = self._stats()
        run = self.client.run
        if run is None:
            return "embmon: no daemon was there: nothing is recorded (start one: embmond)"
        training = self.counts["training"] - (self._first or 0)
        counts = [f"{training} training steps"]
        counts += [f"{self.counts[phase]} {phase} steps" for phase in PHASES[1:] if self.counts[phase]]
        counts.append(f"{len(self._targets)} layers")
        alerts = len({(a.detector, a.layer, a.variable, a.phase) for a in self.fired})
        counts.append(f"{alerts} alerts" if alerts != 1 else "1 alert")
        if stats is not None and stats.dropped + stats.rejected:
            counts.append(f"{stats.dropped + stats.rejected} posts lost")
        if self.failed:
            counts.append("monitoring ended early")
        lines = [f"embmon: run {run!r}: " + ", ".join(counts)]
        worst: dict[Any, Alert] = {}  # of what was told again as it got worse, the worst
        for alert in self.fired:
            key = (alert.detector, alert.layer, alert.variable, alert.phase)
            if key not in worst or _rank(alert) > _rank(worst[key]):
                worst[key] = alert
        for alert in list(worst.values())[:10]:
            lines.append(f"  {alert.when} {alert.severity} {alert.detector} "
                         f"{alert.layer or 'the model'}: {alert.summary}")
        return "\n".join(lines)

    def _stats(self) -> Any:
        try:
            return self.client.stats()
        except Exception:
            return None

    def close(self, timeout: float = 2.0) -> int:
        """Returns how many posts were not delivered. Later calls do nothing."""
        self.failed = True
        return self.client.close(timeout)


def _rank(alert: Alert) -> int:
    return _SEVERITIES.index(alert.severity) if alert.severity in _SEVERITIES else -1


def say(line: str) -> None:
    """One line for the user, on stderr: stdout is the training's own."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass
