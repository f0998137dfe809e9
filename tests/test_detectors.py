"""Detectors at the end of the whole chain: a training posted through the real client. What the
client must count where the tensor is arrives, and the format of a gradient changes no verdict."""
import os
import sys

import numpy as np
import pytest

from harness import BUILD, ROOT, wait_for

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402

ROWS, WIDTH = 400, 16
OF_IDS = {"coverage_drop", "rows_hot"}  # a whole table does not say which ids came in


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("EMBMON_RUN", "EMBMON_ADDRESS", "RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID",
                 "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


def ask(daemon, what, run=""):
    with daemon.peer() as peer:
        status, objects = peer.query(what, run)
    assert status == 0, objects
    return objects


def answered(client):
    wait_for(lambda: client.stats().in_flight == 0, "the daemon to answer")


def settle(daemon, client, run, step, before):
    """Waits until the step is judged and, where an alert has changed since `before`, until the daemon
    has answered: what it wishes is then known, so that runs are alike. Else it wishes nothing, and
    would answer with the next checkpoint, a second later. Gives the alerts of now."""
    wait_for(lambda: any(r["name"] == run and r["step"] == step for r in ask(daemon, "runs")),
             "the step to close")
    if (now := ask(daemon, "alerts", run)) != before:
        answered(client)
    return now


def changes(daemon, run):
    return [(a["detector"], a["layer"], a["severity"], a["state"], a["step"])
            for a in daemon.alerts_file(run)]


def fired(daemon, run="run"):
    """{(detector, layer): (severity, step)}, the first time."""
    found = {}
    for detector, layer, severity, state, step in changes(daemon, run):
        if state == "firing":
            found.setdefault((detector, layer), (severity, step))
    return found


# ---- one training, three formats

def as_slices(ids, values):
    return ids, values


def as_coo(ids, values):
    """Not coalesced: each row in two halves, far from each other and in another order."""
    return np.concatenate([ids[::-1], ids]), np.concatenate([values[::-1] / 2, values / 2])


def as_table(ids, values):
    table = np.zeros((ROWS, WIDTH), np.float32)
    np.add.at(table, ids, values)
    return None, table


def batches():
    """(step, ids, values) of a training with its troubles. All values are multiples of 2^-12, so
    that every order of additions gives the same sums."""
    generator = np.random.default_rng(5)
    for step in range(130):
        ids = generator.integers(1, ROWS, 60)
        ids[40:] = ids[:20]  # come twice
        values = np.round(generator.normal(0, 40, (60, WIDTH))) / 4096
        if step % 5 == 0:
            ids[39] = 0  # the padding: its gradient is 0
            values[39] = 0
        if step == 30:
            ids[7] = 0
        if 40 <= step < 55:
            values[40:60], values[0:20] = values[:20], -values[:20]  # cancel
            values[20:40] = 0
        if step == 70:
            values[3, 3] = np.nan
        if 95 <= step < 99:
            values *= 1024
        if step == 115:
            values *= 32
        yield step, ids.astype(np.int64), values.astype(np.float32)


def train(daemon, run, shape_gradient):
    """The same training, its table's gradient posted in one of the formats."""
    weights = np.random.default_rng(1).normal(0, 1, (ROWS, WIDTH)).astype(np.float32)
    alerts = []
    with embmon.Client(run=run, address=f"unix:{daemon.socket}") as client:
        client.layer("table", "embedding", rows=ROWS, columns=WIDTH, padding_id=0)
        client.layer("dense", "dense")
        client.variable("dense", "kernel", (WIDTH, 8))
        for step, ids, values in batches():
            size = 1024 if 95 <= step < 99 else 16 if step == 115 else 1
            _, whole = as_table(ids, values)
            update = np.float32(-0.125) * np.nan_to_num(whole)
            client.post("table", "weight", step, weights)
            given_ids, given = shape_gradient(ids, values)
            if given_ids is None:
                client.post("table", "gradient", step, given)
            else:
                client.post_rows("table", "gradient", step, given_ids, given)
            client.post("dense/kernel", "gradient", step, np.full((8, 8), 0.01 * size, np.float32))
            client.post("table", "update", step, update)
            weights = weights + update
            for name, value in (("loss", size), ("learning_rate", 0.125), ("batch_size", 60)):
                client.scalar(name, step, value)
            client.step(step)
            alerts = settle(daemon, client, run, step, alerts)
        client.close()


def test_slices_coo_and_a_whole_table_get_the_same_alerts(daemon):
    for name, form in (("slices", as_slices), ("coo", as_coo), ("table", as_table)):
        train(daemon, name, form)
    slices, coo, table = (changes(daemon, run) for run in ("slices", "coo", "table"))
    assert slices == coo
    assert [c for c in slices if c[0] not in OF_IDS] == table
    found = fired(daemon, "table")
    assert found[("padding_row_gradient", "table")] == ("warning", 30)
    assert found[("gradient_vanishing", "table")] == ("warning", 49)
    assert found[("layer_frozen", "table")] == ("warning", 42)
    assert found[("gradient_nonfinite", "table")] == ("critical", 70)
    assert found[("gradient_exploding", "table")][0] == "critical"
    assert found[("gradient_spike", "table")][0] == "warning"
    values = [[(a["value"], a["threshold"], a["baseline"]) for a in daemon.alerts_file(run)
               if a["detector"] not in OF_IDS] for run in ("slices", "coo", "table")]
    assert values[0] == values[1] == values[2]


# ---- what the client counts

class Model:
    """A training of a table and two dense layers that is healthy but for what a test changes."""

    def __init__(self, client):
        self.client = client
        self.generator = np.random.default_rng(7)
        self.table = self.generator.normal(0, 1, (ROWS, WIDTH)).astype(np.float32)
        self.hidden = lambda x: np.tanh(x[:, :16])
        self.step = 0
        client.layer("table", "embedding", rows=ROWS, columns=WIDTH, padding_id=0)
        client.layer("hidden", "dense", shape=(None, 16), activation="tanh", inputs=["table"])
        client.layer("out", "dense", shape=(None, 1), activation="sigmoid", inputs=["hidden"])

    def ids(self):
        return self.generator.integers(1, ROWS, 64)

    def run(self, steps, ids=None, hidden=None, epoch=False):
        for _ in range(steps):
            client, step = self.client, self.step
            looked_up = (ids or self.ids)()
            x = self.generator.normal(0, 1, (64, 16)).astype(np.float32)
            client.post("table", "weight", step, self.table)
            client.post_rows("table", "gradient", step, looked_up,
                             self.generator.normal(0, 0.01, (len(looked_up), WIDTH)).astype(np.float32))
            client.post("hidden", "activation", step, (hidden or self.hidden)(x))
            client.post("out", "activation", step, (x[:, :1] > 0).astype(np.float32))  # is sure
            for layer in ("hidden", "out"):
                client.post(layer, "gradient", step,
                            self.generator.normal(0, 0.01, 64).astype(np.float32))
            for name, value in (("loss", 0.5), ("learning_rate", 0.01), ("batch_size", 64)):
                client.scalar(name, step, value)
            client.step(step)
            self.step += 1
        if epoch:
            client.epoch(0)


@pytest.fixture
def model(daemon):
    client = embmon.Client(run="run", address=f"unix:{daemon.socket}")
    made = Model(client)
    made.daemon = daemon

    def fired_in_the_end():
        assert client.close(10) == 0
        return fired(daemon)

    made.fired = fired_in_the_end
    yield made
    client.close()


def test_a_healthy_training_is_quiet(model):
    model.run(150, epoch=True)
    model.run(60)
    assert model.fired() == {}
    assert changes(model.daemon, "run") == []


def test_dead_units_are_found(model):
    model.client.threshold("activation_dead", "hidden", "units", 0.9)  # of 16 units 15 are
    model.run(30)
    model.run(5, hidden=lambda x: np.where(np.arange(16) < 15, 0, x).astype(np.float32))
    assert model.fired() == {("activation_dead", "hidden"): ("warning", 34)}


def test_a_saturated_layer_is_found_and_an_output_may_be_at_its_limit(model):
    model.run(30)
    model.run(5, hidden=lambda x: np.tanh(30 * x))
    assert model.fired() == {("activation_saturated", "hidden"): ("warning", 34)}


def test_a_collapsed_layer_is_found(model):
    model.run(30)
    model.run(5, hidden=lambda x: np.tile(np.linspace(0.1, 0.9, 16, dtype=np.float32), (64, 1)))
    found = model.fired()
    assert found == {("activation_collapsed", "hidden"): ("warning", 34)}


def test_a_broken_tokenizer_and_a_hot_row_are_found(model):
    def broken():
        ids = model.ids()
        ids[16:] = 1  # "unknown"
        return ids

    model.run(30)
    model.run(5, ids=broken)
    assert model.fired() == {("coverage_drop", "table"): ("warning", 32),
                             ("rows_hot", "table"): ("info", 34)}


def test_padding_is_no_hot_row(model):
    def padded():
        ids = model.ids()
        ids[16:] = 0
        return ids

    model.run(30)
    model.run(10, ids=padded)
    assert {detector for detector, _ in model.fired()} == {"padding_row_gradient"}


def test_a_collapsed_table_is_found_after_its_epoch(model):
    model.run(150)
    model.table += 1000
    model.run(40)
    answered(model.client)
    assert fired(model.daemon) == {}  # nobody has looked
    model.run(1, epoch=True)
    model.run(11)
    found = model.fired()
    assert set(found) == {("embedding_collapse", "table")}
    assert found[("embedding_collapse", "table")][0] == "info"


def test_where_nothing_is_known_it_says_so(daemon):
    """A summary made in a compiled graph has no counts beside it."""
    with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
        client.layer("table", "embedding", rows=ROWS, columns=WIDTH, padding_id=0)
        client.layer("hidden", "dense", shape=(None, 16), activation="tanh")
        client.layer("out", "dense", shape=(None, 1))
        summary = embmon.Summary(count=64, zeros=64)
        for step in range(3):
            client.post_summary("hidden", "activation", step, summary)
            client.post_summary("table", "gradient", step, summary)
            client.step(step)
        answered(client)
        silent = {x["layer"]: x["silent"] for x in daemon.ask("layers")}
    assert silent["hidden"]["activation_saturated"].startswith("units are not known")
    assert silent["table"]["padding_row_gradient"].startswith("no gradient was posted for this")
    assert silent["table"]["coverage_drop"].startswith("no gradient was posted as rows")
    assert "activation_dead" not in silent["hidden"]  # zeros a summary does tell
