"""Client.lend(): arrays that the client's own thread summarises, kept until it has."""

import array
import gc
import os
import sys
import threading
import weakref

import numpy as np
import pytest

from harness import BUILD, ROOT, wait_for
from recorder import Recorder

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402
from embmon import _handle, _lib, _loans  # noqa: E402

NOBODY = "unix:/nonexistent/embmond.sock"
CLOSED = _lib.ERRORS["EMBMON_ECLOSED"]


@pytest.fixture
def recorder():
    with Recorder() as made:
        yield made


@pytest.fixture
def client(recorder):
    with embmon.Client(run="r", address=recorder.address) as made:
        yield made


class Hung:
    """A client whose thread is in its log callback until it is let go."""

    def __init__(self):
        self.inside, self.go = threading.Event(), threading.Event()
        self.client = embmon.Client(run="r", address=NOBODY, log=self._log)
        self.client.layer("a")
        assert self.inside.wait(20)

    def _log(self, _):
        self.inside.set()
        self.go.wait(60)


@pytest.fixture
def hung():
    made = Hung()
    yield made
    made.go.set()
    if made.client is not None:
        made.client.close(0)


def lend_one(client, step=0, elements=1000):
    """A reference to the array, which nobody has but the client."""
    values = np.full(elements, step + 1, np.float32)
    assert client.lend(step, [("a", "gradient", values)]) == 1
    return weakref.ref(values)


def is_let_go(client, *references):
    wait_for(client.returned, "the arrays")
    gc.collect()
    return all(reference() is None for reference in references)


# ---- what arrives

def test_it_is_what_a_post_would_have_been(client, recorder):
    generator = np.random.default_rng(1)
    values = generator.normal(size=(64, 8)).astype(np.float32)
    values[3, 3], values[5] = np.nan, 0
    ids = generator.integers(0, 40, 64)
    client.layer("table", "embedding", rows=50, columns=8, padding_id=0)
    client.layer("dense", "dense", activation="relu", shape=(None, 8))
    whole = [("dense", "activation", values), ("dense", "gradient", values.astype(np.float64)),
             ("other", "weight", values.astype(np.float16)), ("other", "update", values[:, ::2]),
             ("other", "gradient", array.array("i", [1, 2, 3])),
             ("other", "gradient", np.zeros(0, np.float32))]
    rows = [("table", "gradient", values, ids), ("table", "update", values, ids.astype(np.int32)),
            ("table", "gradient", values[:0], ids[:0])]
    for number, signal, array_ in whole:
        client.post(number, signal, 0, array_)
    for number, signal, array_, of in rows:
        client.post_rows(number, signal, 0, of, array_)
    client.step(0)
    # The rows' places in the C array are then those of whole ones, and the other way round.
    assert client.lend(1, rows + whole) == 9
    assert client.lend(2, whole + rows) == 9
    client.scalar("loss", 2, 1)
    client.step(2)
    assert client.close() == 0
    samples = [m for m in recorder.messages if m.DESCRIPTOR.name == "Sample"]
    posted = samples[:9]
    for of_step, expected in ((samples[9:18], posted[6:] + posted[:6]), (samples[18:], posted)):
        assert [sample.summary for sample in of_step] == [sample.summary for sample in expected]
        assert [(s.target, s.signal) for s in of_step] == [(s.target, s.signal) for s in expected]
    wait_for(lambda: recorder.messages[-1].DESCRIPTOR.name == "Bye", "Bye")  # it is read as it comes
    assert [m.DESCRIPTOR.name for m in recorder.messages[-3:]] == ["Scalar", "StepEnd", "Bye"]


def test_what_nobody_else_holds_arrives_whole(client, recorder):
    """Memory that was freed would be given to the next array, or be gone."""
    references = [lend_one(client, step, 100_000) for step in range(100)]
    client.close()
    samples = recorder.samples("a")
    assert [sample.step for sample in samples] == list(range(100))
    assert [sample.summary.min for sample in samples] == list(range(1, 101))
    assert [sample.summary.max for sample in samples] == list(range(1, 101))
    assert not any(reference() for reference in references)


def test_what_is_not_wanted_is_not_lent(client):
    client.layer("a")
    for step in range(26):
        client.step(step)
    assert not client.wanted("a", "weight")
    values = np.ones(10, np.float32)
    assert client.lend(26, [("a", "weight", values), ("a", "gradient", values)]) == 1
    assert client.lend(26, [("a", "weight", values)]) == 0
    assert client.lend(26, []) == 0


def test_threads_lend_together(client, recorder):
    def train(number):
        for step in range(100):
            lend_one(client, 1000 * number + step)
            client.returned()

    threads = [threading.Thread(target=train, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert is_let_go(client)
    assert client.close() == 0
    samples = recorder.samples("a")
    assert len(samples) == 400
    assert all(s.summary.min == s.summary.max == s.step + 1 for s in samples)


# ---- what is held, and until when

def test_arrays_are_held_until_the_thread_has_read_them(hung):
    references = [lend_one(hung.client, step) for step in range(3)]
    assert not hung.client.returned()
    assert all(reference() is not None for reference in references)
    hung.go.set()
    assert is_let_go(hung.client, *references)


def test_the_end_of_a_step_lets_go(client):
    reference = lend_one(client)
    wait_for(lambda: client.step(0) and reference() is None, "the array")


def test_the_next_loan_lets_go(client):
    first = lend_one(client)
    wait_for(lambda: lend_one(client) and first() is None, "the array")


def test_closing_lets_go_even_while_the_thread_hangs(hung):
    reference = lend_one(hung.client)
    assert hung.client.close(0) == 1
    assert reference() is None and hung.client.returned()


def test_a_client_that_is_collected_holds_them_until_it_is_closed(hung):
    reference = lend_one(hung.client)
    kept = hung.client._handle.loans
    hung.client = None
    gc.collect()
    assert _handle._orphans and reference() is not None and len(kept) == 1
    hung.go.set()
    wait_for(lambda: not kept and reference() is None, "the closing")


def test_a_fork_holds_nothing(hung):
    reference = lend_one(hung.client)
    child = os.fork()
    if child == 0:
        try:
            fine = hung.client.returned() and reference() is None
            with pytest.raises(embmon.ClosedError):
                hung.client.lend(1, [(0, "gradient", np.ones(3))])
            os._exit(not (fine and hung.client.returned()))
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert reference() is not None


def test_a_client_that_cannot_be_closed_holds_them_for_ever(monkeypatch):
    handle = _handle.Handle(0x1000)
    monkeypatch.setattr(_handle, "_left", [])
    handle._inside.append(None)  # a call that hangs
    monkeypatch.setattr(_handle.time, "monotonic", iter([0, 0, 2, 2]).__next__)
    assert handle.close(0) == 0
    assert _handle._left == [handle.loans]


# ---- mistakes

@pytest.mark.parametrize("mistake, error", [
    (("a", "sideways", np.ones(3)), embmon.InvalidArgumentError),
    (("a", "gradient", "text"), embmon.DtypeError),
    (("a\n", "gradient", np.ones(3)), embmon.InvalidNameError),
    (("a", "gradient", np.ones(5), np.arange(2)), embmon.InvalidArgumentError)])
def test_what_can_be_no_post_lends_nothing(client, mistake, error):
    with pytest.raises(error):
        client.lend(0, [("a", "gradient", np.ones(3)), mistake])
    assert client.stats().produced == 0 and client.returned()


@pytest.mark.parametrize("mistake, error", [
    ((77, "gradient", np.ones(3)), embmon.UnknownTargetError),
    (("a", "ids", np.ones(3)), embmon.InvalidArgumentError),
    (("a", "weight", np.ones(3), np.arange(3)), embmon.InvalidArgumentError),
    (("a", "gradient", np.ones(3), np.ones(3)), embmon.DtypeError)])
def test_what_is_refused_keeps_none_of_the_others_back(client, recorder, mistake, error):
    good = ("a", "gradient", np.ones(3))
    with pytest.raises(error):
        client.lend(0, [good, mistake, good])
    assert client.close() == 0
    assert len(recorder.samples("a")) == 2


@pytest.mark.parametrize("step", [-1, 2**63, 0.5, None])
def test_a_step_that_is_none(client, step):
    with pytest.raises(embmon.InvalidArgumentError):
        client.lend(step, [("a", "gradient", np.ones(3))])


def test_a_closed_client_lends_nothing_and_holds_nothing(client):
    client.layer("a")
    client.close()
    references = []
    for _ in range(3):
        values = np.ones(3)
        references.append(weakref.ref(values))
        with pytest.raises(embmon.ClosedError):
            client.lend(0, [(0, "gradient", values)])
        del values
    gc.collect()
    assert client.returned() and not any(reference() for reference in references)


def test_an_unused_client_has_nothing_lent():
    assert embmon.Client(run="r", address=NOBODY).returned()


# ---- interrupted

class Owner:
    """What can be referred to weakly."""


def lend_to(loans, call):
    owner = Owner()
    loans.lend(call, 0, loans.room(1), 1, [owner])
    return weakref.ref(owner)


def test_an_interrupt_before_the_call_leaves_nothing_behind():
    loans = _loans.Loans()

    def interrupted(function, *_):
        if function is _lib.load().embmon_lend:
            raise KeyboardInterrupt
        return 0

    with pytest.raises(KeyboardInterrupt):
        lend_to(loans, interrupted)
    assert len(loans) == 0


def test_an_interrupt_after_the_call_lets_go_of_nothing():
    loans, returned = _loans.Loans(), [0]

    def interrupted(function, *arguments):
        if function is _lib.load().embmon_lend:
            arguments[-1]._obj.value = 7
            raise KeyboardInterrupt
        return returned[0]

    with pytest.raises(KeyboardInterrupt):
        lend_to(loans, interrupted)
    assert len(loans) == 1
    returned[0] = 6
    loans.prune(interrupted)
    assert len(loans) == 1
    returned[0] = 7
    loans.prune(interrupted)
    assert len(loans) == 0


def test_a_call_under_way_keeps_its_own_and_not_the_others():
    loans, others = _loans.Loans(), []

    def second(function, *arguments):
        if function is _lib.load().embmon_lend:
            arguments[-1]._obj.value = 4
            return 1
        return 4  # so that is returned already

    def first(function, *arguments):
        if function is _lib.load().embmon_lend:
            others.append(lend_to(loans, second))  # another thread's, meanwhile
            loans.prune(second)
            assert others[0]() is None and len(loans) == 1
            arguments[-1]._obj.value = 5
            return 1
        return 4

    own = lend_to(loans, first)
    assert own() is not None
    loans.prune(lambda _: 5)
    assert own() is None and len(loans) == 0
