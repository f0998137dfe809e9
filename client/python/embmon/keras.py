"""The callback for Keras 3.

    from embmon.keras import EmbmonCallback
    model.fit(x, y, callbacks=[EmbmonCallback(run="reviews")])

Gradients, weights and updates of every trainable variable, activations of every layer, the ids that
go into embeddings, the shapes on the way, loss and learning rate, by the layers' full paths
(`inner_model/embedding_1`), while the model trains in graph mode as it always does.
"""

import logging
import os
import time
from typing import Any, Callable, Iterable, Mapping

import keras

from ._monitor import SIGNALS, Monitor
from .alert import Alert
from .client import Client

__all__ = ["EmbmonCallback"]

log = logging.getLogger("embmon")
_STEPS_UNTIL_GRADIENT = 3
_POLL_NS = 10_000_000  # between two looks at what came back


class EmbmonCallback(keras.callbacks.Callback):
    """Watches a model while it is fitted, evaluated or used for prediction.

    May be given to fit(), evaluate() and predict(), again and to several models in turn: that is
    one run. It changes neither the numbers of the training nor its errors; without a daemon, or
    when the monitor itself fails, there is one warning and the training goes on. When a step raises,
    the exception waits 0.2 s at most for the alert that explains it, which is said on stderr.
    """

    def __init__(self, address: str | None = None, run: str | None = None, resume: bool = False,
                 layers: Iterable[str] | None = None, signals: Iterable[str] = SIGNALS,
                 every: int | str = "auto", overhead: float = 0.01,
                 on_alert: Callable[[Alert], Any] | None = None,
                 stop_on: Iterable[str] = (), thresholds: Mapping[str, Any] | None = None,
                 ignore: Iterable[Any] = (), vocabulary: Any = None, name: str | None = None,
                 optimizers: Iterable[Any] | None = None,
                 token_file: str | os.PathLike[str] | None = None,
                 buckets: str = "exact") -> None:
        """address: "unix:PATH" or "tcp:HOST:PORT" of embmond; None: EMBMON_ADDRESS, else
        the default addresses.
        run: the wanted name; None: EMBMON_RUN, else the launcher's id, else script, date and time.
        resume: continue the run of this name, its count of steps too.
        layers: globs over the full path, `*` crosses "/"; a pattern without "/" is of the last
        part. None: all layers.
        signals: some of "gradient", "activation", "ids", "update", "weight"; the last two are taken
        at every sampled step at first, after 25 of them at one of ten. Shapes always come.
        every: sample steps that are multiples of it (rounded up to a power of two), 1 for every
        step; "auto": as often as `overhead` allows, but the first 16 steps, and while an alert is
        decided. A loss that is NaN or infinite, and ids that are no rows, are seen at every step
        (under jit_compile=True at sampled ones).
        overhead: with "auto", the share of the time of a training step that monitoring may add. It
        is measured, as the difference of sampled steps and of others; embmond/overhead_percent and
        embmond/sampled_every in TensorBoard show what came of it.
        on_alert: called on the training thread between steps, with each change of an alert to
        firing or resolved; what it raises is logged once.
        stop_on: detectors ("gradient_nonfinite") or severities ("warning" includes critical): the
        first that fires stops the training, as model.stop_training does.
        thresholds: {"gradient_vanishing": {"ratio": 1e-4}} for all layers, or per glob:
        {"gradient_spike": {"inner_model/*": {"layer": 20}}}. ignore: detectors to leave out,
        "gradient_spike", or for some layers ("gradient_spike", "embedding*").
        vocabulary: what ids stand for, so that alerts say `id 4711 ("dress")`: for a model with one
        table a list of words (that of id 0 first), a dict from word to id (a tokenizer's
        word_index), or a layer with get_vocabulary(); for several a dict from table (its path, or a
        glob as in layers) to one of these. Read now; words stay here but for those that alerts may
        name.
        name: put before all paths, for several models in one run.
        optimizers: those that are not an attribute of the model.
        token_file: for tcp, as of Client.
        buckets: "exact" or "sampled", as of Client.

        Errors: ValueError for an unknown signal, detector, severity or key; TypeError or ValueError
        for a vocabulary that is none, ValueError before the first step where the model has several
        tables and it does not say whose it is; what Client raises for names and addresses."""
        super().__init__()
        self._layers = [layers] if isinstance(layers, str) else None if layers is None else list(layers)
        self._name = name or ""
        self._optimizers = None if optimizers is None else list(optimizers)
        client = Client(run=run, address=address, resume=resume, every=every, overhead=overhead,
                        token_file=token_file, buckets=buckets)
        self._monitor = Monitor(client, signals, on_alert, stop_on, thresholds, ignore, vocabulary)
        self._probes: Any = None  # Probes, while they are in a model
        self._routes: dict[str, Any] = {}  # what feeds which table
        self._warned = False
        self._fit_steps = 0
        self._is_going = False  # the first steps of a training, which are looked at, are done
        self._poll_ns = 0  # when it is looked again what came back

    # ---- for the user

    @property
    def connected(self) -> bool:
        """Is the daemon there?"""
        return self._monitor.connected

    @property
    def run(self) -> str | None:
        """The name the run got; None until the daemon has answered."""
        return self._monitor.client.run

    def summary(self) -> str:
        """What was recorded and what fired; it is also shown at the end of fit()."""
        return self._monitor.summary()

    def close(self, timeout: float = 2.0) -> int:
        """Ends the run: waits up to `timeout` seconds for what is queued. Returns how many posts
        were not delivered. Done at exit otherwise."""
        self._leave()
        return self._monitor.close(timeout)

    # ---- Keras' hooks

    def on_train_begin(self, logs: Any = None) -> None:
        self._enter("training", fresh=True)
        self._fit_steps = self._monitor.counts["training"]
        self._is_going = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        start = time.perf_counter_ns()
        self._step("training", start)
        self._monitor.own_ns = time.perf_counter_ns() - start

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._settle()
        if not self.model.stop_training:  # an epoch that was cut looked up only a part
            self._monitor.epoch(epoch)
        self._poll()

    def on_train_end(self, logs: Any = None) -> None:
        self._settle()
        self._check_gradients()
        self._poll()
        self._leave()
        self._try(self._monitor.say_summary)

    def on_test_begin(self, logs: Any = None) -> None:
        self._enter("validation")

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step("validation", time.perf_counter_ns())

    def on_test_end(self, logs: Any = None) -> None:
        self._end("validation")

    def on_predict_begin(self, logs: Any = None) -> None:
        self._enter("inference")

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step("inference", time.perf_counter_ns())

    def on_predict_end(self, logs: Any = None) -> None:
        self._end("inference")

    # ---- within

    def _try(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(*arguments), or None when the monitor has failed or now fails."""
        if self._monitor.failed:
            return None
        try:
            return function(*arguments)
        except Exception as error:
            self._monitor.fail(error)
            return None

    def _enter(self, phase: str, fresh: bool = False) -> None:
        """Probes into the model; fresh: also where they are still in it, because a fit() ended by
        an exception and nobody said so."""
        check_backend(self.model)
        if self._probes is None or self._probes.model is not self.model:
            self._check_vocabulary()
        if self._probes is not None and (fresh or self._probes.model is not self.model):
            self._monitor.finish()
            self._leave()
        if self._probes is None:
            self._try(self._install)
        else:
            self._settle()
        if self._probes is not None:
            self._probes.active.add(phase)

    def _install(self) -> None:
        from ._keras_probes import Probes
        from ._keras_targets import Targets
        from ._keras_gated import calls_of

        targets = Targets(self._monitor, self.model, self._name, self._layers)
        if self._layers is not None and self.model.built and not targets.layers:
            log.warning("embmon: no layer of %r is named by layers=%r", self.model.name, self._layers)
        probes = Probes(self._monitor, self.model, targets, self._optimizers, self._routes)
        self._monitor.start(max((int(calls_of(x)) for x in probes.optimizers.values()), default=0))
        self._probes = probes
        probes.install(self._abandoned)

    def _check_vocabulary(self) -> None:
        """ValueError where it is not clear whose the words are, before anything is trained."""
        vocabulary = self._monitor.vocabulary
        tables = self._try(self._tables) if vocabulary else None
        if tables is None:
            return
        problem = vocabulary.problem(tables)
        if problem:
            raise ValueError(problem)
        unused = vocabulary.unused(tables)
        if unused and self.model.built:
            log.warning("embmon: vocabulary: %r has no table %s; it has %s", self.model.name,
                        " and no ".join(repr(x) for x in unused), ", ".join(tables) or "none")

    def _tables(self) -> list[str]:
        """Paths of the tables that are to be watched, as far as the model has made them."""
        from ._keras_paths import walk

        return [x.path for x in walk(self.model, self._name, self._layers) if x.kind == "embedding"]

    def _abandoned(self) -> None:
        """A new fit() of a model that still has the probes of one that never ended."""
        self._monitor.finish()
        self._leave()

    def _leave(self) -> None:
        probes, self._probes = self._probes, None
        if probes is not None:
            try:
                probes.uninstall()
            except Exception as error:
                self._monitor.fail(error)
            self._monitor.rest()

    def _step(self, phase: str, now_ns: int) -> None:
        """The next step of the phase begins."""
        probes = self._probes
        if probes is None:
            return
        if self._is_going and probes.pass_by(phase):
            if now_ns >= self._poll_ns:  # operations post without asking here what came back
                self._poll_ns = now_ns + _POLL_NS
                self._poll()
            return
        if phase == "training":
            steps = self._monitor.begun("training") - self._fit_steps
            if steps >= 1:
                self._try(self._probes.look_again)
            if steps >= _STEPS_UNTIL_GRADIENT:
                self._check_gradients()
                self._is_going = True
        if self._monitor.is_due(phase):
            self._poll()
        self._try(self._probes.begin, phase)

    def _settle(self) -> None:
        if self._probes is not None:
            self._try(self._probes.settle)

    def _end(self, phase: str) -> None:
        self._settle()
        if self._probes is not None:
            self._probes.active.discard(phase)
            if not self._probes.active:
                self._leave()
        self._poll()

    def _poll(self) -> None:
        """Alerts, on the training thread."""
        self._monitor.poll()
        if self._monitor.stopped is not None:
            self.model.stop_training = True

    def _check_gradients(self) -> None:
        """One warning when training goes on and no gradient has come."""
        if self._warned or self._probes is None or self._monitor.failed or \
                "gradient" not in self._monitor.signals:
            return
        steps = self._monitor.begun("training") - self._fit_steps
        if steps < _STEPS_UNTIL_GRADIENT or self._probes.applied:
            return
        self._warned = True
        names = ", ".join(f"{name} ({type(x).__name__})"
                          for name, x in self._probes.optimizers.items()) or "none was found"
        log.warning("embmon: no gradient came in %d training steps: never called: %s; give the "
                    "optimizer that is used as optimizers=[...]", steps, names)


def check_backend(model: Any) -> None:
    """ValueError where the callback cannot work, with what does."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(f"EmbmonCallback works with Keras' TensorFlow backend, not with {backend!r}: "
                         "set KERAS_BACKEND=tensorflow, or post from your own loop with "
                         "embmon.Client")
    replicas = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)
    if replicas > 1:
        raise ValueError(f"EmbmonCallback works with one replica in a process, not with {replicas}: "
                         "start one process for each rank (RANK, WORLD_SIZE)")
    if model.jit_compile and int(model.steps_per_execution or 1) > 1:
        raise ValueError("EmbmonCallback works with jit_compile=True, and with steps_per_execution > 1, "
                         "but not with both: compile the model with one of them")
