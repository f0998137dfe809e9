"""embmon.Client, against an embmond, and against a recorder where the exact messages matter."""

import array
import gc
import math
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import readers
from harness import BUILD, ROOT, wait_for
from recorder import Recorder

PACKAGE = ROOT / "client" / "python"
sys.path.insert(0, str(PACKAGE))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402

NOBODY = "unix:/nonexistent/embmond.sock"
GRADIENT = np.array([0.5, -0.25, 0.0, 2.0], np.float32)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("EMBMON_RUN", "EMBMON_ADDRESS", "RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID",
                 "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recorder():
    with Recorder() as made:
        yield made


@pytest.fixture
def silent():
    """A client with no daemon, without a line on stderr."""
    client = embmon.Client(run="r", address=NOBODY, log=lambda line: None)
    yield client
    client.close(0)


def python(code, **environment):
    """Runs a script of its own: CompletedProcess with text."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          env=os.environ | {"PYTHONPATH": str(PACKAGE)} | environment, check=False)


# ---- against embmond

def test_what_is_posted_is_what_tensorboard_shows(daemon):
    generator = np.random.default_rng(1)
    gradients = generator.normal(size=(20, 3, 4)).astype(np.float32)
    with embmon.Client(run="a/b", address=f"unix:{daemon.socket}") as client:
        dense = client.layer("tower/dense", "dense", shape=(None, 4), dtype="float32")
        kernel = client.variable(dense, "kernel", (3, 4), "float32")
        for step, gradient in enumerate(gradients):
            assert client.post(kernel, "gradient", step, gradient)
            assert client.scalar("loss", step, 1 / (1 + step))
            assert client.step(step)
        client.epoch(0)
        assert client.close() == 0
        assert client.run == "a/b" and client.next_step == 0
    run = readers.both(daemon.logdir)["a/b/embmon"]
    norms = dict(run.scalars["gradient_norm/tower/dense"])
    assert list(norms) == list(range(20))
    for step, gradient in enumerate(gradients):
        assert norms[step] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    assert [step for step, _ in run.histograms["gradients/tower/dense/kernel"]] == list(range(20))
    assert dict(run.scalars["loss"])[3] == 0.25


def test_buckets_of_a_sample_are_of_all_elements(daemon, recorder):
    """The histogram of a large tensor whose buckets were sampled has as many elements, in
    proportion; what is posted says that it is a sample, and how good."""
    values = np.random.default_rng(2).normal(size=(1 << 20) + 77).astype(np.float32)
    for address in (f"unix:{daemon.socket}", recorder.address):
        with embmon.Client(run="sampled", address=address, buckets="sampled") as client:
            client.post("large", "weight", 0, values)
            client.post("small", "weight", 0, values[:1000])
            client.step(0)
            assert client.close() == 0
    run = readers.both(daemon.logdir)["sampled/embmon"]
    (_, histogram), = run.histograms["weights/large"]
    rows = np.array(histogram).reshape(-1, 3)
    assert rows[:, 2].sum() == values.size
    below = rows[rows[:, 1] <= 0][:, 2].sum() / values.size
    assert abs(below - (values <= 0).mean()) < 0.05
    keys = {name: dict(zip(recorder.samples(name)[0].summary.extra_keys,
                           recorder.samples(name)[0].summary.extra_values))
            for name in ("large", "small")}
    assert keys == {"large": {14: pytest.approx(0.5 / (values.nbytes // 1024) ** 0.5)}, "small": {}}


def test_posts_are_conserved(daemon):
    with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
        for step in range(50):
            client.post("dense", "gradient", step, GRADIENT)
            client.post("dense", "weight", step, GRADIENT)
            client.step(step)
            stats = client.stats()
            assert stats.produced == stats.acked + stats.rejected + stats.dropped + stats.in_flight
        wait_for(lambda: client.stats().in_flight == 0, "acknowledgements")
        stats = client.stats()
        assert stats.connected is True and client.connected is True
        assert stats.produced == stats.acked and stats.dropped == stats.rejected == 0
        assert stats.produced + stats.skipped == 150  # weights are not wanted at every step
        assert stats.skipped > 0 and stats.post_ns > 0 and stats.reconnects == 0
        assert client.close() == 0


def test_alerts_come_back(daemon):
    with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
        for step in range(5):
            bad = GRADIENT if step < 3 else GRADIENT * math.nan
            client.post("dense", "gradient", step, bad)
            client.step(step)
        alerts = []
        wait_for(lambda: alerts.extend(client.notices()) or any(
            alert.state == "firing" for alert in alerts), "an alert")
        assert client.notices() == []
    alert = next(alert for alert in alerts if alert.state == "firing")
    assert isinstance(alert, embmon.Alert)
    assert (alert.detector, alert.layer, alert.severity, alert.phase, alert.signal) == \
        ("gradient_nonfinite", "dense", "critical", "training", "gradient")
    assert alert.first_step == 3 and 3 <= alert.step <= 4
    assert abs(alert.time - time.time()) < 60 and alert.hint and "dense" in alert.summary
    assert isinstance(alert.value, float) and isinstance(alert.threshold, float)
    with pytest.raises(AttributeError):
        alert.step = 0
    written = next(line for line in daemon.alerts_file() if line["state"] == "firing")
    assert (written["summary"], written["hint"]) == (alert.summary, alert.hint)
    assert "dense" in str(alert) and "firing" in str(alert)


def test_a_run_that_is_resumed(daemon):
    for first in (0, 10):
        with embmon.Client(run="run", address=f"unix:{daemon.socket}", resume=True) as client:
            assert client.connected and client.run == "run" and client.next_step == first
            for step in range(first, first + 10):
                client.post("dense", "gradient", step, GRADIENT)
                client.step(step)
            assert client.close() == 0
    assert readers.both(daemon.logdir)["run/embmon"].steps("gradient_norm/dense") == list(range(20))


def test_two_ranks_are_one_run(daemon, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    clients = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        clients.append(embmon.Client(run="run", address=f"unix:{daemon.socket}"))
    for step in range(3):
        for client in clients:
            client.post("dense", "gradient", step, GRADIENT)
            client.step(step)
    wait_for(lambda: all(client.run for client in clients), "both Welcomes")
    assert [client.close() for client in clients] == [0, 0]
    assert {client.run for client in clients} == {"run"}
    assert readers.both(daemon.logdir)["run/embmon"].steps("gradient_norm/dense") == [0, 1, 2]


def test_a_name_that_is_taken(daemon):
    for name in ("run", "run-2"):
        with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
            client.step(0)
            client.close()
            assert client.run == name


# ---- what is declared and posted

def test_hello(recorder):
    with embmon.Client(run="a/b", rank=3, world_size=4, address=recorder.address, every=5) as client:
        client.step(0)
    hello = recorder.hello()
    assert (hello.name, hello.rank, hello.world_size, hello.every, hello.resume) == \
        ("a/b", 3, 4, 8, False)


def test_layers_and_variables(recorder):
    with embmon.Client(run="r", address=recorder.address) as client:
        table = client.layer("in/embedding", "embedding", rows=100, columns=8, padding_id=0,
                             sharded=True, dtype="bf16", shape=(None, 20, 8), tied=True,
                             mask="passed")
        dense = client.layer("in/dense", "dense", activation="relu", inputs=[table],
                             trainable=False, dtype=np.float32)
        last = client.layer("last", inputs=["in/embedding", dense])
        kernel = client.variable("in/dense", "kernel", (8, 4), "float32")
        assert client.layer("in/dense", "dense", activation="relu", inputs=[table],
                            trainable=False, dtype=np.float32) == dense
        assert client.variable(dense, "kernel", (8, 4), "float32") == kernel
        assert len({table, dense, last, kernel}) == 4
        client.post("in/dense/kernel", "gradient", 0, GRADIENT)
        client.post("unheard/of", "activation", 0, GRADIENT)
    layers = recorder.layers()
    assert list(layers) == ["in/embedding", "in/dense", "last", "unheard/of"]
    declared = layers["in/embedding"]
    assert (declared.kind, declared.rows, declared.columns, declared.has_padding,
            declared.padding_id, declared.sharded, declared.dtype, list(declared.shape)) == \
        (1, 100, 8, True, 0, True, 4, [-1, 20, 8])
    declared = layers["in/dense"]
    assert (declared.kind, declared.activation, declared.trainable, declared.has_padding,
            list(declared.inputs), declared.dtype) == (2, "relu", False, False, [table], 1)
    assert list(layers["last"].inputs) == [table, dense]
    assert layers["in/embedding"].tied and not layers["last"].tied
    assert (layers["in/embedding"].mask, layers["last"].mask) == (3, 0)
    assert layers["unheard/of"].kind == 0 and layers["unheard/of"].trainable
    assert len(recorder.samples("in/dense/kernel")) == len(recorder.samples("unheard/of")) == 1


@pytest.mark.parametrize("signal, number", [("gradient", 1), ("activation", 2), ("weight", 3),
                                            ("update", 4)])
def test_signals(recorder, signal, number):
    with embmon.Client(run="r", address=recorder.address) as client:
        client.post("dense", signal, 7, GRADIENT)
    sample, = recorder.samples("dense")
    assert (sample.signal, sample.step, sample.phase, sample.summary.count) == (number, 7, 1, 4)


@pytest.mark.parametrize("ids", ["int32", "int64"])
@pytest.mark.parametrize("values", ["float16", "float32", "float64"])
def test_rows(recorder, ids, values):
    given = np.array([[1, 2], [3, -1], [0.5, 0.5], [0, 0]], values)
    with embmon.Client(run="r", address=recorder.address) as client:
        client.layer("table", "embedding", rows=10, columns=2)
        assert client.post_rows("table", "gradient", 0, np.array([7, 2, 7, 4], ids), given)
    summary = recorder.samples("table")[0].summary
    coalesced = np.array([[1.5, 2.5], [3, -1]])  # 7 is added up, 4 is not touched
    assert summary.count == 4
    assert summary.square_sum == pytest.approx((coalesced**2).sum())


def test_rows_of_other_shapes_and_none(recorder):
    with embmon.Client(run="r", address=recorder.address) as client:
        client.layer("table", "embedding", rows=10, columns=2)
        ids = np.arange(6).reshape(2, 3)
        assert client.post_rows("table", "gradient", 0, ids, np.ones((2, 3, 2)))
        assert client.post_rows("table", "gradient", 1, np.zeros(0, int), np.zeros((0, 2)))
        assert client.post_rows("table", "update", 0, array.array("i", [1, 2]), np.ones((2, 2)))
        with pytest.raises(embmon.InvalidArgumentError):
            client.post_rows("table", "gradient", 2, np.arange(3), np.ones(7))
        with pytest.raises(embmon.InvalidArgumentError):
            client.post_rows("table", "gradient", 2, np.arange(0), np.ones(7))
        with pytest.raises(embmon.InvalidArgumentError):
            client.post_rows("table", "weight", 2, np.arange(3), np.ones((3, 2)))
        for bad in (np.arange(3.0), np.arange(3, dtype="i2")):
            with pytest.raises(embmon.DtypeError):
                client.post_rows("table", "gradient", 2, bad, np.ones((3, 2)))
    assert [sample.summary.count for sample in recorder.samples("table")] == [12, 0, 4]


def test_summary(recorder):
    values = np.array([1.0, 1.0, -3.0, 0.0, math.nan, math.inf], np.float32)
    bucket = lambda value: int(np.float32(value).view(np.uint32) >> 20)  # noqa: E731
    made = embmon.Summary(count=6, zeros=1, nans=1, positive_infinities=1, min=-3, max=1, sum=-1,
                          absolute_sum=5, square_sum=11, positive_first=bucket(1),
                          positive_counts=[2, 0], negative_first=bucket(3),
                          negative_counts=np.array([1], np.uint64))
    with embmon.Client(run="r", address=recorder.address) as client:
        assert client.post_summary("dense", "gradient", 0, made)
        assert client.post("dense", "gradient", 1, values)
        made.count = 7
        with pytest.raises(embmon.InvalidArgumentError):
            client.post_summary("dense", "gradient", 2, made)
        for name, value in (("zeros", -1), ("positive_first", 2**32), ("parts", 1.5),
                            ("negative_counts", [-1]), ("positive_first", 2040)):
            with pytest.raises(embmon.InvalidArgumentError):
                client.post_summary("dense", "gradient", 2, embmon.Summary(
                    **{"count": 0, "positive_counts": [0]} | {name: value}))
    here, there = recorder.samples("dense")
    assert here.summary == there.summary


def test_scalars_steps_epochs_and_phases(recorder):
    with embmon.Client(run="r", address=recorder.address) as client:
        client.scalar("loss", 0, np.float32(0.5))
        client.scalar("own/thing", 0, math.nan)
        assert client.step(0) is True
        client.epoch(0)
        client.phase("validation")
        client.post("dense", "activation", 4, GRADIENT)
        client.step(4)
        client.phase("inference")
        client.step(np.int64(2))
        client.phase("training")
        client.step(1)
    first, second = recorder.of("Scalar")
    assert (first.name, first.value, first.step, first.phase) == ("loss", 0.5, 0, 1)
    assert second.name == "own/thing" and math.isnan(second.value)
    assert [(end.phase, end.step) for end in recorder.of("StepEnd")] == [(1, 0), (2, 4), (3, 2),
                                                                        (1, 1)]
    assert recorder.of("Epoch")[0].epoch == 0
    assert recorder.samples("dense")[0].phase == 2


def test_sampling():
    with Recorder(every=4) as recorder:
        with embmon.Client(run="r", address=recorder.address, every=4) as client:
            accepted, wanted, told = [], [], []
            for step in range(9):
                wanted.append(client.wanted("dense", "gradient"))
                accepted.append(client.post("dense", "gradient", step, GRADIENT))
                told.append(client.step(step))
            assert client.stats().skipped == 6
    sampled = [step % 4 == 0 for step in range(9)]
    assert wanted == accepted == sampled
    assert told[:-1] == sampled[1:]
    assert [sample.step for sample in recorder.samples("dense")] == [0, 4, 8]


def test_a_wish_makes_steps_wanted():
    from harness import proto
    with Recorder(every=1024) as recorder:
        with embmon.Client(run="r", address=recorder.address, every=1024) as client:
            client.step(1)
            recorder.hello()
            wait_for(lambda: client.connected, "Welcome")
            assert not client.wanted("dense", "gradient")
            recorder.connection.send(proto.Wish(steps=3))
            step = iter(range(2, 10**6))
            wait_for(lambda: client.step(next(step)), "the wish")
            assert client.wanted("dense", "gradient")
            assert not client.wanted("dense", "activation")


# ---- where names and places come from

def test_rank_and_world_size_of_the_environment(recorder, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with embmon.Client(run="r", address=recorder.address) as client:
        client.step(0)
    hello = recorder.hello()
    assert (hello.rank, hello.world_size) == (2, 3)
    recorder.messages.clear()
    with embmon.Client(run="r", rank=0, world_size=1, address=recorder.address) as client:
        client.step(0)
    hello = recorder.hello()
    assert (hello.rank, hello.world_size) == (0, 1)


@pytest.mark.parametrize("rank, size", [("5", "2"), ("1", ""), ("1", "x")])
def test_an_environment_that_contradicts_itself(recorder, monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.warns(UserWarning, match="RANK"):
        client = embmon.Client(run="r", address=recorder.address)
    client.step(0)
    client.close()
    hello = recorder.hello()
    assert (hello.rank, hello.world_size) == (0, 1)


NAME = "import embmon; c = embmon.Client(); c.step(0); c.close(5)"


def test_the_name_of_a_run(recorder, tmp_path):
    def wanted(*command, **environment):
        recorder.messages.clear()
        env = os.environ | {"PYTHONPATH": f"{PACKAGE}:{tmp_path}",
                            "EMBMON_ADDRESS": recorder.address} | environment
        subprocess.run([sys.executable, *map(str, command)], check=True, timeout=30, env=env,
                       input=NAME, text=True)
        return recorder.hello().name

    tail = r"-\d{8}-\d{6}-\d+"
    (tmp_path / "my train.v2.py").write_text(NAME)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(NAME)
    assert re.fullmatch("my_train.v2" + tail, wanted(tmp_path / "my train.v2.py"))
    assert re.fullmatch("python" + tail, wanted("-c", NAME))
    assert re.fullmatch("python" + tail, wanted("-"))
    assert re.fullmatch("package" + tail, wanted("-m", "package"))
    in_notebook = f"import sys, types; sys.modules['ipykernel'] = types.ModuleType('x'); {NAME}"
    assert re.fullmatch("notebook" + tail, wanted("-c", in_notebook))
    assert wanted("-c", NAME, EMBMON_RUN="a/b") == "a/b"
    assert wanted("-c", NAME, SLURM_JOB_ID="77") == "77"
    assert wanted("-c", NAME, TORCHELASTIC_RUN_ID="job:1", SLURM_JOB_ID="77") == "job_1"
    assert re.fullmatch("python" + tail, wanted("-c", NAME, TORCHELASTIC_RUN_ID="none"))
    assert wanted("-c", NAME.replace("Client(", "Client('own'"), EMBMON_RUN="a/b") == "own"


# ---- mistakes of the caller

@pytest.mark.parametrize("options, error", [
    ({"run": "a b"}, embmon.InvalidNameError), ({"run": ""}, embmon.InvalidNameError),
    ({"run": "/a"}, embmon.InvalidNameError), ({"run": "a/embmon/state"}, embmon.InvalidNameError),
    ({"run": 5}, embmon.InvalidNameError),
    ({"address": "tcp:h"}, embmon.AddressError),
    ({"address": "tcp:h:0"}, embmon.AddressError), ({"address": "tcp:::1:9"}, embmon.AddressError),
    ({"token_file": "/nonexistent/token"}, embmon.TokenError), ({"address": "unix:"}, embmon.AddressError),
    ({"address": "unix:" + "x" * 108}, embmon.AddressError),
    ({"rank": 2, "world_size": 2}, embmon.InvalidArgumentError),
    ({"rank": -1}, embmon.InvalidArgumentError), ({"rank": 1}, embmon.InvalidArgumentError),
    ({"world_size": 1025}, embmon.InvalidArgumentError),
    ({"every": 0}, embmon.InvalidArgumentError), ({"every": "often"}, embmon.InvalidArgumentError),
    ({"every": 2.0}, embmon.InvalidArgumentError),
    ({"buckets": "some"}, embmon.InvalidArgumentError), ({"buckets": 1}, embmon.InvalidArgumentError)])
def test_options_out_of_range(options, error):
    with pytest.raises(error):
        embmon.Client(**options)


@pytest.mark.parametrize("call, error", [
    (lambda c: c.post(99, "gradient", 0, GRADIENT), embmon.UnknownTargetError),
    (lambda c: c.post(-1, "gradient", 0, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post(2**32, "gradient", 0, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post(None, "gradient", 0, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post("a", "gradients", 0, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post("a", [], 0, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post("a", "gradient", -1, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post("a", "gradient", 2**64, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post("a", "gradient", 1.5, GRADIENT), embmon.InvalidArgumentError),
    (lambda c: c.post("a", "gradient", 0, [1.0]), embmon.DtypeError),
    (lambda c: c.post("a//b", "gradient", 0, GRADIENT), embmon.InvalidNameError),
    (lambda c: c.post("a\0b", "gradient", 0, GRADIENT), embmon.InvalidNameError),
    (lambda c: c.layer("a", "embeding"), embmon.InvalidArgumentError),
    (lambda c: c.layer("x" * 256), embmon.InvalidNameError),
    (lambda c: c.layer("\udc80"), embmon.InvalidNameError),
    (lambda c: c.layer("a\u202eb"), embmon.InvalidNameError),
    (lambda c: c.layer("a\u200db"), embmon.InvalidNameError),
    (lambda c: c.layer("a", rows=-1), embmon.InvalidArgumentError),
    (lambda c: c.layer("a", shape=[1] * 9), embmon.InvalidArgumentError),
    (lambda c: c.layer("a", shape=[-2]), embmon.InvalidArgumentError),
    (lambda c: c.layer("a", inputs=["b"]), embmon.UnknownTargetError),
    (lambda c: c.layer("a", dtype="u8"), embmon.DtypeError),
    (lambda c: [c.layer("a", "dense"), c.layer("a", "conv")], embmon.AlreadyDeclaredError),
    (lambda c: c.variable("a", "kernel"), embmon.UnknownTargetError),
    (lambda c: c.variable(99, "kernel"), embmon.UnknownTargetError),
    (lambda c: c.variable(c.layer("a"), ""), embmon.InvalidNameError),
    (lambda c: c.scalar("", 0, 1.0), embmon.InvalidNameError),
    (lambda c: c.scalar("loss", -1, 1.0), embmon.InvalidArgumentError),
    (lambda c: c.step(-1), embmon.InvalidArgumentError),
    (lambda c: c.epoch(-1), embmon.InvalidArgumentError),
    (lambda c: c.phase("train"), embmon.InvalidArgumentError)])
def test_mistakes_are_exceptions(silent, call, error):
    with pytest.raises(error) as caught:
        call(silent)
    assert isinstance(caught.value, embmon.EmbmonError)
    assert caught.value.code == error.code < 0 and str(caught.value)


def test_too_many_layers(silent):
    with pytest.raises(embmon.LimitError):
        for i in range(5000):
            silent.layer(f"layer_{i}")


# ---- no daemon, and the end

def test_nothing_is_opened_before_the_first_use(recorder):
    client = embmon.Client(run="r", address=recorder.address)
    assert (client.connected, client.run, client.next_step) == (False, None, None)
    assert client.stats() == embmon.Stats() and client.notices() == []
    assert client.close() == 0
    assert recorder.messages == [] and recorder.connection is None


def test_without_a_daemon(tmp_path):
    lines = []
    client = embmon.Client(run="r", address=f"unix:{tmp_path}/s", log=lines.append)
    for step in range(10):
        assert client.post("dense", "gradient", step, GRADIENT)
        client.step(step)
    wait_for(lambda: lines, "a line")
    assert not client.connected and client.run is None
    began = time.monotonic()
    assert client.close(timeout=0.2) == 20
    assert time.monotonic() - began < 2
    assert len(lines) == 1 and lines[0].startswith("embmon: no daemon at")


def test_a_full_inbox_is_counted_and_not_raised():
    """The log function holds the private thread, so that nobody empties the inbox."""
    held = threading.Event()
    client = embmon.Client(run="r", address=NOBODY, log=lambda line: held.wait(60))
    wide = np.geomspace(1e-30, 1e30, 4000)  # a summary of some KiB
    try:
        step = 0
        while client.post("dense", "gradient", step, wide):
            assert client.step(step) is True
            step += 1
            assert step < 10_000
        assert client.scalar("loss", step, 1.0) in (True, False)
        for _ in range(10**6):  # the last bytes
            if not client.scalar("loss", step, 1.0):
                break
        assert client.step(step) is True and client.epoch(0) is None
        stats = client.stats()
        assert stats.dropped >= 4
        assert stats.produced == stats.acked + stats.rejected + stats.dropped + stats.in_flight
    finally:
        held.set()
        client.close(0)


def test_after_close_every_call_says_so(recorder):
    client = embmon.Client(run="r", address=recorder.address)
    client.post("dense", "gradient", 0, GRADIENT)
    assert client.close() == 0 and client.close() == 0
    for call in (lambda: client.post("dense", "gradient", 1, GRADIENT), lambda: client.step(1),
                 lambda: client.layer("other"), lambda: client.wanted("dense", "gradient"),
                 lambda: client.scalar("loss", 1, 1.0), client.stats, client.notices,
                 lambda: client.epoch(1), lambda: client.phase("training")):
        with pytest.raises(embmon.ClosedError):
            call()
    assert client.connected is False and client.run == "recorded" and client.next_step == 0


def test_a_client_closed_before_its_first_use():
    client = embmon.Client(run="r", address=NOBODY)
    assert client.close() == 0
    with pytest.raises(embmon.ClosedError):
        client.step(0)


def test_an_exception_of_the_user_is_the_users(recorder):
    with pytest.raises(ZeroDivisionError):
        with embmon.Client(run="r", address=recorder.address) as client:
            client.post("dense", "gradient", 0, GRADIENT)
            raise ZeroDivisionError
    assert len(recorder.samples("dense")) == 1
    wait_for(lambda: recorder.of("Bye"), "Bye")


def test_collected_without_close(recorder):
    client = embmon.Client(run="r", address=recorder.address)
    client.post("dense", "gradient", 0, GRADIENT)
    began = time.monotonic()
    del client
    gc.collect()
    assert time.monotonic() - began < 1  # the wait is not ours
    wait_for(lambda: recorder.of("Bye"), "Bye")
    assert len(recorder.samples("dense")) == 1


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "1 / 0", "del c",
                                    "c = [c]; c.append(c); del c",
                                    "import sys; sys.stderr = None"])
def test_a_program_that_ends_without_close(recorder, ending):
    done = python("import embmon, array\n"
                  f"c = embmon.Client('r', address={recorder.address!r}, log=lambda line: None)\n"
                  "c.post('dense', 'gradient', 0, array.array('f', [1]))\n" + ending)
    assert done.returncode == {"raise SystemExit(3)": 3, "1 / 0": 1}.get(ending, 0)
    assert ("Traceback" in done.stderr) == (ending == "1 / 0")
    wait_for(lambda: recorder.of("Bye"), "Bye")
    assert len(recorder.samples("dense")) == 1


def test_a_program_with_a_hung_log_function_ends(tmp_path):
    began = time.monotonic()
    done = python("import embmon, threading\n"
                  "said = threading.Event()\n"
                  "def log(line):\n"
                  "    said.set()\n"
                  "    threading.Event().wait()\n"
                  f"c = embmon.Client('r', address='unix:{tmp_path}/s', log=log)\n"
                  "c.step(0)\n"
                  "assert said.wait(20)\n"
                  "assert c.close(0.1) == 1\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 20


def test_a_log_function_that_raises(tmp_path):
    done = python("import embmon, time\n"
                  f"c = embmon.Client('r', address='unix:{tmp_path}/s', log=lambda line: 1 / 0)\n"
                  "c.step(0)\n"
                  "assert c.close(0.5) == 1\n"
                  "print('goes on')\n")
    assert done.returncode == 0 and done.stdout == "goes on\n"


# ---- forks and threads

def test_a_fork_is_inert(recorder):
    """The child's every call says so, its end disturbs nothing, and the parent goes on."""
    done = python(f"""
import embmon, array, os, sys
client = embmon.Client("r", address={recorder.address!r})
data = array.array("f", [1, 2])
client.post("dense", "gradient", 0, data)
for ending in ("close", "exit", "collect"):
    pid = os.fork()
    if pid == 0:
        try:
            client.post("dense", "gradient", 1, data)
        except embmon.ClosedError:
            pass
        else:
            os._exit(1)
        assert not client.connected
        if ending == "close":
            assert client.close() == 0
        elif ending == "collect":
            del client
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0, ending
client.post("dense", "gradient", 1, data)
assert client.close() == 0
""")
    assert (done.returncode, done.stderr) == (0, "")
    assert [sample.step for sample in recorder.samples("dense")] == [0, 1]
    assert len(recorder.of("Hello")) == 1


def test_a_fork_before_the_first_use_may_open_its_own(recorder):
    done = python(f"""
import embmon, os, sys
client = embmon.Client("r", address={recorder.address!r})
pid = os.fork()
if pid == 0:
    client.step(5)
    sys.exit(client.close())
assert os.waitpid(pid, 0)[1] == 0
assert client.close() == 0
""")
    assert (done.returncode, done.stderr) == (0, "")
    assert [end.step for end in recorder.of("StepEnd")] == [5]


def test_threads_post_at_once(recorder):
    count, each = 4, 200
    with embmon.Client(run="r", address=recorder.address) as client:
        def work(number):
            for step in range(each):
                client.post(f"layer_{number}", "activation", step, GRADIENT)
                client.scalar(f"thread_{number}", step, step)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.close(10) == 0
    for number in range(count):
        steps = [sample.step for sample in recorder.samples(f"layer_{number}")]
        assert steps == list(range(each))
    assert len(recorder.of("Scalar")) == count * each


def test_close_while_threads_post(recorder):
    """No call is inside the library when it is freed; afterwards each thread is told."""
    for _ in range(10):
        client = embmon.Client(run="r", address=recorder.address)
        ended, posted = [], threading.Barrier(4)

        def work(client=client, ended=ended, posted=posted):
            big = np.ones(100_000)
            client.post("dense", "gradient", 0, big)
            posted.wait(20)
            try:
                while True:
                    client.post("dense", "gradient", 0, big)
                    client.stats()
            except embmon.ClosedError:
                ended.append(True)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        posted.wait(20)
        client.close(0.05)
        for thread in threads:
            thread.join(20)
        assert len(ended) == 3


def test_a_call_lets_other_threads_run():
    """While C summarises, Python goes on: the call holds no lock of the interpreter."""
    with embmon.Client(run="r", address=NOBODY, log=lambda line: None) as client:
        big = np.ones(20_000_000, np.float32)

        def longest_pause_share():
            """Of this thread while the other one posts, as a share of the time within the call."""
            ended = threading.Event()
            before = client.stats().post_ns

            def work():
                client.post("dense", "gradient", 0, big)
                ended.set()

            thread = threading.Thread(target=work)
            longest, last = 0, time.perf_counter_ns()
            thread.start()
            while not ended.is_set():
                now = time.perf_counter_ns()
                longest, last = max(longest, now - last), now
            longest = max(longest, time.perf_counter_ns() - last)
            thread.join()
            return longest / (client.stats().post_ns - before)

        assert any(longest_pause_share() < 0.7 for _ in range(10))
        client.close(0)


# ---- a daemon of one's own

def test_start(tmp_path):
    before = dict(os.environ)
    with embmon.start(tmp_path / "runs") as daemon:
        assert dict(os.environ) == before
        assert os.stat(os.path.dirname(daemon.address.removeprefix("unix:"))).st_mode & 0o777 == 0o700
        with embmon.Client(run="r", address=daemon.address) as client:
            client.post("dense", "gradient", 0, GRADIENT)
            client.step(0)
            assert client.close() == 0
    assert daemon.stop() == 0
    assert not os.path.exists(daemon.address.removeprefix("unix:"))
    assert readers.both(tmp_path / "runs")["r/embmon"].steps("gradient_norm/dense") == [0]


def test_a_started_daemon_ends_with_a_killed_process(tmp_path):
    """And leaves nothing."""
    (tmp_path / "t").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", "import embmon, time\n"
         f"d = embmon.start({str(tmp_path / 'runs')!r})\nprint(d.pid, flush=True)\ntime.sleep(600)"],
        env=os.environ | {"PYTHONPATH": str(PACKAGE), "TMPDIR": str(tmp_path / "t")},
        stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()

    def gone():
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                return stat.read().split()[2] == "Z"  # nobody waits for it in a bare container
        except FileNotFoundError:
            return True
    wait_for(gone, "embmond to end")
    assert list((tmp_path / "t").iterdir()) == []


def test_a_daemon_that_cannot_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match="status 73"):
        embmon.start(tmp_path / "file")
