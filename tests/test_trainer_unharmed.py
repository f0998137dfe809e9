"""Whatever the daemon does, the trainer is not slowed, stalled, changed or made to grow.

The posting thread of tests/tools/load.c --alone forbids itself every system call (seccomp): one made
by a post, a lock that is waited for, an allocation that asks the kernel, and it ends with status 3.
Reading the clock is allowed; under strace it cannot be seen either."""

import contextlib
import select
import signal
import socket
import threading
import time

import pytest

import sanitized
import trouble
from trainers import NOBODY, Embmond, Load, load, unharmed_at_best, until

STEPS, LAYERS = 10_000, 20
POSTS = STEPS * (LAYERS + 2)
ALONE = ("--alone", "--steps", STEPS, "--layers", LAYERS, "--drain", 20000, "--close", 1000)
QUICK = ("--drain", 0, "--close", 0)
# Inbox and queue of the client, the queue's nodes as malloc() rounds them, buffers, the program.
RSS_KIB = ((8 + 32 + 8 + 16) << 10) + sanitized.ROOM_KIB


@pytest.fixture
def daemon():
    with Embmond() as embmond:
        yield embmond


@pytest.fixture(scope="module")
def weights():
    """What the training gives when nobody listens."""
    counts, _ = load(NOBODY, *ALONE, *QUICK)
    return counts["weights"]


def check(counts, weights, drained=False, posts=POSTS):
    """Nothing of the trainer changed, nothing is unaccounted for, memory is bounded."""
    assert counts["weights"] == weights
    assert counts["produced"] == posts
    assert counts["max_rss_kib"] < RSS_KIB
    if drained:
        assert counts["in_flight"] == 0
    return counts


# ---- no system call on the posting thread


def test_posting_makes_no_system_call_with_a_daemon(daemon, weights):
    counts = check(load(daemon.address, *ALONE)[0], weights, drained=True)
    assert counts["rejected"] == 0
    (status,) = daemon.ask("status")
    assert (status["acked"], status["rejected"]) == (counts["acked"], 0)
    # What the sender had no time to take was dropped, and said so: to the daemon as well.
    assert daemon.run()["dropped"] == counts["dropped"]


def test_posting_makes_no_system_call_without_a_daemon(weights):
    counts = check(load(NOBODY, *ALONE, *QUICK)[0], weights)
    assert counts["acked"] == counts["rejected"] == 0


def test_posting_makes_no_system_call_beside_a_stopped_daemon(daemon, weights):
    daemon.signal(signal.SIGSTOP)
    counts = check(load(daemon.address, *ALONE, *QUICK)[0], weights)
    daemon.signal(signal.SIGCONT)
    assert counts["acked"] == 0


@pytest.mark.parametrize("name", ["mute", "never_reads", "a_byte_a_second", "backlog_full",
                                  "garbage", "nobody_reads_stderr"])
def test_posting_makes_no_system_call_beside_what_is_no_daemon(name, tmp_path_factory, weights):
    with trouble.STATES[name](tmp_path_factory.mktemp("s")) as state:
        counts = check(load(state.address, *ALONE, *QUICK, stderr=state.stderr)[0], weights)
    assert counts["acked"] == 0


def test_posting_makes_no_system_call_while_the_daemon_is_killed_every_50_ms(daemon):
    few = ("--alone", "--steps", 20000, "--layers", 2, "--sleep", 100, *QUICK)
    weights = load(NOBODY, *few)[0]["weights"]
    done = threading.Event()
    kills = []

    def disturb():
        while not done.wait(0.05):
            daemon.kill()
            kills.append(daemon.start())

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        counts = check(load(daemon.address, *few)[0], weights, posts=20000 * 4)
    finally:
        done.set()
        disturber.join()
    assert len(kills) > 5
    assert counts["reconnects"] <= len(kills)
    daemon.recorded()


@pytest.mark.parametrize("name", ["absent", "stopped", "backlog_full", "nobody_reads_stderr"])
def test_posting_and_closing_keep_their_time(name, tmp_path_factory):
    """tests/faults/test_unharmed.py in short."""
    with trouble.STATES[name](tmp_path_factory.mktemp("s")) as state:
        found = unharmed_at_best(state.address, "--posts", 20000, "--spread", 300, "--close", 200,
                                 stderr=state.stderr)
    assert found["call_us_max"] < 1000
    assert found["produced"] == 20000
    assert found["close_ms_max"] < 300


# ---- bounded, and exact about what is lost


# More than 32 MiB, paced so that the sender takes all of it: what is dropped is the queue's.
MUCH = ("--layers", 3, "--signals", "ga")
MUCH_STEPS, MUCH_POSTS = 60_000, 60_000 * (2 * 3 + 2)


def post_much(trainer):
    for first in range(0, MUCH_STEPS, 100):
        trainer.steps(first, first + 99)
        time.sleep(0.005)
    counts = trainer.counts()
    assert counts["produced"] == MUCH_POSTS
    print(counts)
    assert counts["dropped"] > 0
    assert counts["max_rss_kib"] < RSS_KIB


def test_a_full_queue_is_bounded_and_counts_what_it_drops():
    with Load(NOBODY, *MUCH) as trainer:
        post_much(trainer)
        trainer.kill()


def test_after_an_overflow_the_newest_arrive_and_the_rest_is_counted(daemon):
    daemon.signal(signal.SIGSTOP)
    with Load(daemon.address, *MUCH) as trainer:
        post_much(trainer)
        daemon.signal(signal.SIGCONT)
        counts = trainer.settle()
        assert counts["acked"] + counts["rejected"] + counts["dropped"] == MUCH_POSTS
        (status,) = daemon.ask("status")
        assert (status["acked"], status["rejected"]) == (counts["acked"], counts["rejected"])
        until(lambda: daemon.run().get("dropped") == counts["dropped"], "the daemon's count")
        trainer.end()
    run = daemon.recorded()
    print(counts, run.scalars["embmond/dropped"][-1])
    assert run.steps("loss")[-1] == MUCH_STEPS - 1
    assert run.scalars["embmond/dropped"][-1] == (MUCH_STEPS - 1, counts["dropped"])


class Between(trouble.Server):
    """Carries between trainers and embmond, and cuts a connection instead of carrying a Nack, the
    first few times."""

    def __init__(self, folder, daemon, cuts):
        self.path, self.cuts = str(daemon.socket), cuts
        super().__init__(folder, self.carry)

    def carry(self, trainer, _):
        with socket.socket(socket.AF_UNIX) as daemon, contextlib.suppress(OSError):
            daemon.connect(self.path)
            while True:
                for sock in select.select([trainer, daemon], [], [])[0]:
                    data = sock.recv(1 << 16)
                    if not data or self.cuts > 0 and sock is daemon and self.has_nack(data):
                        return trainer.shutdown(socket.SHUT_RDWR)
                    (trainer if sock is daemon else daemon).sendall(data)

    def has_nack(self, data):
        found = b"EMBM\x01\x00\x0b\x00" in data
        self.cuts -= found
        return found


def test_a_nack_that_is_lost_with_its_connection_is_counted_all_the_same(daemon, tmp_path_factory):
    between = Between(tmp_path_factory.mktemp("s"), daemon, cuts=3)
    with Load(between.address) as trainer:
        for last in range(9, 60, 10):
            trainer.steps(last - 9, last)
            trainer.settle()
            trainer.steps(last - 5, last - 3)  # late, all of them
            counts = trainer.settle()
        trainer.end()
    between.close()
    assert between.cuts == 0 and counts["reconnects"] == 3
    (status,) = daemon.ask("status")
    assert (counts["acked"], counts["rejected"]) == (60 * 4, 6 * 3 * 4)
    assert (status["acked"], status["rejected"]) == (counts["acked"], counts["rejected"])


def test_a_trainer_beside_a_daemon_does_not_grow(daemon):
    with Load(daemon.address, "--layers", 20, "--in-flight", 40000) as trainer:
        trainer.steps(0, 4999)
        early = trainer.settle()["max_rss_kib"]
        trainer.steps(5000, 24999)
        late = trainer.settle()["max_rss_kib"]
        assert late <= early + 4096
        trainer.end()
    daemon.stop()
