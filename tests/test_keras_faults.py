"""Whatever goes wrong, in the training, the daemon or the monitor: the training is as it was."""

import itertools
import logging
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import trouble
from harness import ROOT, encode, proto, wait_for
from keras_models import (BUILD, LENGTH, EmbmonCallback, callback, data, keras, layers, made, nested, plain, recorded,
                          shown, tf)

NOBODY = "unix:/nonexistent/embmond.sock"


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records
            if r.name == "embmon" and r.levelno >= logging.WARNING]


class Each(keras.callbacks.Callback):
    """Calls a function before the batch of this number."""

    def __init__(self, batch, function):
        super().__init__()
        self.batch, self.function = batch, function

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            self.function()


def test_an_error_in_the_middle_of_a_step(daemon):
    """An id that no row has: TensorFlow's error arrives, and what was posted before it too."""
    x, y = data(batches=5)
    x[3 * 8, 0] = 4711
    model = made(nested)
    watch = callback(daemon)
    with pytest.raises(tf.errors.InvalidArgumentError, match="4711"):
        model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[watch])
    x[3 * 8, 0] = 1
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)  # not watched, and no probe left
    assert "train_step" not in vars(model) and "apply" not in vars(model.optimizer)
    assert "make_train_function" not in vars(model)
    run = recorded(daemon, watch)
    assert run.steps("gradients/dense/kernel") == [0, 1, 2]


def test_an_error_of_another_callback_and_the_next_fit(daemon):
    class Mine(Exception):
        pass

    def fail():
        raise Mine("mine")

    x, y = data(batches=5)
    model = made(plain)
    watch = callback(daemon)
    with pytest.raises(Mine, match="^mine$"):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch, Each(2, fail)])
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    run = recorded(daemon, watch)
    steps = run.steps("gradients/out/kernel")
    assert steps[:2] == [0, 1] and steps[-6:] == list(range(steps[-6], steps[-6] + 6))
    assert steps == sorted(set(steps))


SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from keras_models import *
address, what = sys.argv[1:3]
x, y = data(batches=3)
model = made(plain)
watch = EmbmonCallback(address=address, run="script", every=1)

class Each(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3 and what == "raise":
            raise RuntimeError("of the user's")
        if batch == 3 and what == "wait":
            print("ready", flush=True)
            while True:
                self.model.predict(x, verbose=0)

model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch, Each()])
print("done", float(model.get_weights()[-1][0]).hex(), flush=True)
"""


def script(address, what="", **named):
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", SCRIPT, address, what], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=os.environ | {"EMBMON_LIBRARY": str(BUILD / "libembmon.so")}, **named)


def test_an_error_that_ends_the_program(daemon):
    """Uncaught: the traceback is the user's, the status 1, and all that was posted is recorded."""
    process = script(f"unix:{daemon.socket}", "raise")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "RuntimeError: of the user's" in err and "done" not in out
    run = shown(daemon, "script")
    assert run.steps("gradients/out/kernel") == [0, 1, 2]


def test_ctrl_c(daemon):
    process = script(f"unix:{daemon.socket}", "wait")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in err
    run = shown(daemon, "script")
    assert run.steps("gradients/out/kernel") == [0, 1, 2]


def test_no_daemon_and_one_that_is_there():
    """The same numbers, and one warning."""
    process = script(NOBODY)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    lines = [line for line in err.splitlines() if line.startswith("embmon")]
    assert len(lines) == 2, err  # the outage, and the summary that nothing is recorded
    assert NOBODY[5:] in lines[0] or "no daemon" in lines[0]
    assert "no daemon" in lines[1]
    x, y = data(batches=3)
    model = made(plain)
    model.fit(x, y, batch_size=8, verbose=0)
    assert out.split()[1] == float(model.get_weights()[-1][0]).hex()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_daemon_goes_in_the_middle(daemon, number):
    def train(callbacks):
        x, y = data(batches=12)
        model = made(nested)
        history = model.fit(x, y, batch_size=8, verbose=0, callbacks=callbacks)
        return model.get_weights(), history.history

    watch = callback(daemon)
    weights, history = train([watch, Each(5, lambda: daemon.signal(number))])
    twin_weights, twin_history = train([])
    assert history == twin_history
    for ours, theirs in zip(weights, twin_weights, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    daemon.start()  # what was not acknowledged is sent to the next one
    run = recorded(daemon, watch)
    assert run.steps("gradients/dense/kernel")[-8:] == list(range(5, 13))


def test_a_daemon_that_starts_late(daemons):
    x, y = data(batches=8)
    daemon = daemons()
    daemon.stop()
    watch = callback(daemon)

    def start():
        daemon.start()
        wait_for(lambda: watch.connected, "the connection")

    made(plain).fit(x, y, batch_size=8, verbose=0, callbacks=[watch, Each(4, start)])
    assert watch.run == "run"
    assert recorded(daemon, watch).steps("gradients/out/kernel") == list(range(9))


@pytest.mark.parametrize("where", ["post", "post_rows", "layer", "step", "notices", "wanted"])
def test_an_error_of_the_monitor(daemon, caplog, where):
    """One warning, and the same numbers."""
    def train(callbacks):
        x, y = data(batches=4)
        model = made(plain)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
        return model.get_weights()

    watch = callback(daemon)
    client = watch._monitor.client
    if where.startswith("post"):  # a graph's own operations call no Python that could fail
        watch._monitor.gate = lambda: None
    real, calls = getattr(client, where), []

    def fails(*arguments, **named):
        calls.append(arguments)
        if len(calls) > 3:
            raise MemoryError("in the monitor")
        return real(*arguments, **named)

    setattr(client, where, fails)
    weights = train([watch])
    found = warnings_of(caplog)
    assert len(found) == 1 and "MemoryError: in the monitor" in found[0], found
    for ours, theirs in zip(weights, train([]), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_an_error_while_tracing(daemon, caplog, monkeypatch):
    from embmon import _keras_trace

    for name in ("before_apply", "after_apply", "activation", "end", "__init__"):
        with monkeypatch.context() as patch:
            def fails(*_arguments, **_named):
                raise ArithmeticError("in a probe")

            patch.setattr(_keras_trace.StepTrace, name, fails)
            caplog.clear()
            x, y = data()
            model = made(plain)
            model.fit(x, y, batch_size=8, verbose=0,
                      callbacks=[callback(daemon, run=name.strip("_"))])
            assert len(warnings_of(caplog)) == 1 and "in a probe" in warnings_of(caplog)[0]
            assert "train_step" not in vars(model)


# ---- alerts

def diverging():
    """Weights that are not finite from the first step on."""
    return made(plain, optimizer=keras.optimizers.SGD(1e30))


def test_on_alert_and_stop_on(daemon):
    x, y = data(batches=400)
    alerts = []

    def on_alert(alert):
        alerts.append(alert)
        raise ValueError("of on_alert")

    watch = callback(daemon, stop_on=["critical"], on_alert=on_alert)
    history = diverging().fit(x, y, batch_size=8, epochs=50, verbose=0, callbacks=[watch])
    assert len(history.history["loss"]) < 50
    assert alerts and all(a.state in ("firing", "resolved") for a in alerts)
    assert any(a.severity == "critical" and a.state == "firing" for a in alerts)
    assert watch.model.stop_training
    summary = watch.summary()
    assert alerts[0].detector in summary and "run 'run'" in summary
    recorded(daemon, watch)


def test_the_exception_of_on_alert_is_said_once(daemon, caplog):
    x, y = data(batches=40)

    def on_alert(_alert):
        raise ValueError("of on_alert")

    watch = callback(daemon, on_alert=on_alert)
    model = diverging()
    for _ in range(50):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
        if len(watch._monitor.fired) > 1:
            break
    assert len(watch._monitor.fired) > 1
    assert len([w for w in warnings_of(caplog) if "of on_alert" in w]) == 1


def test_stop_on_another_detector_does_not_stop(daemon):
    x, y = data(batches=40)
    watch = callback(daemon, stop_on=["gradient_vanishing"])
    model = diverging()
    history = model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[watch])
    assert len(history.history["loss"]) == 5


def test_ignore_and_thresholds(daemon):
    """What is ignored, or has no limit, does not fire."""
    x, y = data(batches=40)
    watch = callback(daemon, run="loud")
    diverging().fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[watch])
    recorded(daemon, watch, "loud")
    loud = {alert["detector"] for alert in daemon.alerts_file("loud")}
    assert "loss_nonfinite" in loud or "loss_diverged" in loud
    watch = callback(daemon, run="quiet", ignore=sorted(loud - {"loss_diverged"}),
                     thresholds={"loss_diverged": {"factor": float("1e300")}})
    diverging().fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[watch])
    recorded(daemon, watch, "quiet")
    assert not {alert["detector"] for alert in daemon.alerts_file("quiet")} & loud


# ---- said clearly

def test_the_name_and_the_summary_are_said_once(daemon, capfd):
    x, y = data()
    watch = callback(daemon, run="reviews")
    model = made(plain)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[watch])
    wait_for(lambda: watch.run, "the name")
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    recorded(daemon, watch, "reviews")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines().count("embmon: run 'reviews'") == 1
    assert "embmon: run 'reviews': 12 training steps, 4 layers, " in err


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_that_do_not_work(backend):
    """One clear error, before anything is trained."""
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"""
import sys
sys.path.insert(0, {str(ROOT / "client" / "python")!r})
import keras
import numpy as np
from embmon.keras import EmbmonCallback

model = keras.Sequential([keras.Input((4,), dtype="int32"), keras.layers.Embedding(50, 6),
                          keras.layers.Flatten(), keras.layers.Dense(1)])
model.compile(optimizer="adam", loss="mse")
before = model.get_weights()
try:
    model.fit(np.ones((8, 4), "int32"), np.ones((8, 1)), verbose=0,
              callbacks=[EmbmonCallback(address={NOBODY!r})])
except ValueError as error:
    print(error)
assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
"""], text=True, capture_output=True, timeout=120, check=True,
        env=os.environ | {"KERAS_BACKEND": backend, "EMBMON_LIBRARY": str(BUILD / "libembmon.so")})
    assert f"TensorFlow backend, not with '{backend}'" in done.stdout, done.stderr
    assert "embmon.Client" in done.stdout and len(done.stdout.splitlines()) == 1


def test_several_replicas_in_one_process():
    class Strategy:
        num_replicas_in_sync = 2

    class Model:
        distribute_strategy = Strategy()

    from embmon.keras import check_backend
    with pytest.raises(ValueError, match="one replica"):
        check_backend(Model())


def test_inner_names_and_weights_are_those_of_the_user():
    """The embedding of a functional model keeps its call after the callback is collected."""
    x, y = data()
    model = made(nested)
    watch = callback(type("Nobody", (), {"socket": NOBODY[5:]}))
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[watch])
    del watch
    assert not [layer.name for layer in model._flatten_layers() if "call" in vars(layer)]
    assert np.isfinite(model.predict(x, verbose=0)).all()
    assert model.input_shape == (None, LENGTH) and isinstance(model.layers[-1], layers.Dense)


def test_a_hostile_daemon_changes_no_weight_and_takes_no_time(tmp_path_factory):
    """It fires alerts without end and wishes for everything for ever. The callback hears 64 of them at
    a time, and forgets what nobody could read."""
    def fit(callbacks):
        x, y = data(batches=40)
        model = made(nested)
        began = time.monotonic()
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False,
                            validation_data=(x[:80], y[:80]), callbacks=callbacks)
        return model.get_weights(), history.history, time.monotonic() - began

    def serve(sock, number):
        trouble.welcome(sock)
        sock.sendall(encode(proto.Wish(steps=65536, layer="dense")))
        text = "x" * 2000
        for i in itertools.count():
            sock.sendall(b"".join(encode(proto.Notice(
                phase=1, layer=f"layer_{i}_{n}", detector="gradient_vanishing", severity=3, state=2,
                step=2**53 - 1, summary=text, hint=text)) for n in range(10)))

    told = []
    server = trouble.Server(tmp_path_factory.mktemp("s"), serve)
    watch = EmbmonCallback(address=server.address, run="load", on_alert=told.append)
    try:
        weights, history, seconds = fit([watch])
        watch.close(0.5)
    finally:
        server.close()
    twin, twin_history, _ = fit([])
    assert history == twin_history
    for ours, theirs in zip(weights, twin, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert 0 < len(told) <= 192 * (seconds + 1)  # 128 in a second, and 64 that were there already
    assert len(watch._monitor.fired) <= 1000
