"""Whoever answers at the daemon's address, and whatever he says for ever: a trainer keeps its results,
its memory and its time, the private thread takes little of a processor, and nobody's terminal is
filled. The other direction is in test_hostile.py."""

import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import types
import zlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import trouble  # noqa: E402
from harness import DEFLATED, Closed, encode, frame, proto  # noqa: E402
from trainers import (NOBODY, conserve, environment, load, load_command,  # noqa: E402
                      unharmed_at_best)

EVERY, STEPS, LAYERS = 16, 2000, 8
TRAINING = ("--steps", STEPS, "--layers", LAYERS, "--signals", "gawu", "--sleep", 1000,
            "--welcome", 3000, "--drain", 0, "--close", 500)
RSS_KIB = (8 + 32 + 8 + 16) << 10
CPU_SHARE = 0.2  # of one processor, for the private thread: at rest it is 0.02
LINES = 20  # on stderr


@pytest.fixture(scope="module")
def weights():
    """What the training gives when nobody listens."""
    return load(NOBODY, *TRAINING, "--welcome", 0, "--steps", STEPS, "--sleep", 0)[0]["weights"]


# ---- what it says: each gives the next bytes, given the highest number it was sent

def wishes(_):
    return b"".join(encode(proto.Wish(steps=65536, layer=f"layer_{i:02}")) for i in range(LAYERS))


def notices(_, number=itertools.count()):
    text = "\u00e9" * 2000
    return b"".join(encode(proto.Notice(
        phase=1, layer=f"layer_{next(number)}", detector="gradient_vanishing", severity=3, state=2,
        step=2**53 - 1, first_step=0, summary=text, hint=text)) for _ in range(20))


def disguised_notices(_):
    """A terminal's sequences, and text that is read backwards: they cost the connection."""
    return encode(proto.Notice(phase=1, detector="gradient_vanishing", severity=3, state=2,
                               summary="\u202eneddih si siht", hint="\x1b]0;mine\x07"))


def refusals(sent):
    """Of the newest and the oldest in turn: each has to be looked for."""
    return b"".join(encode(proto.Nack(sequence=n, reason=2, detail="late"))
                    for _ in range(50) for n in (sent, 1, sent))


def acknowledgements(_):
    return encode(proto.Ack(kept=0, durable=2**64 - 1)) * 500


def never_sent(_):
    return encode(proto.Ack(kept=2**64 - 1))


def welcomes(_, odd=itertools.cycle([0, 2**64 - 1])):
    return b"".join(encode(proto.Welcome(
        protocol=1, run="load", next_step=2**53, every=1, sequence=0, frame_limit=2**32 - 1,
        rejected=next(odd))) for _ in range(100))


def no_limits(_):
    return encode(proto.Welcome(protocol=1, run="load", every=2**20, frame_limit=0))


def unpacking(_):
    """Messages of a newer daemon, 60 KiB of zeros each, in 80 bytes."""
    return frame(4711, zlib.compress(bytes(60 << 10), 9), DEFLATED) * 100


def bombs(_):
    return frame(4711, zlib.compress(bytes(10 << 20), 9), DEFLATED)


def announced(_):
    return frame(10, b"", length=2**32 - 1) + bytes(1000)


def a_byte_at_a_time(_, rest=itertools.cycle(encode(proto.Heartbeat(produced=2**64 - 1)))):
    return bytes([next(rest)])


ATTACKS = (wishes, notices, disguised_notices, refusals, acknowledgements, never_sent, welcomes,
           no_limits, unpacking, bombs, announced, a_byte_at_a_time)


def listen(peer, heard):
    """Reads what the trainer sends, as fast as it comes."""
    with contextlib.suppress(Closed, OSError):
        while True:
            message = peer.receive()
            heard.sent = max(heard.sent, getattr(message, "sequence", 0))


def attacking(folder, say):
    """A server that welcomes, reads, and says one thing for ever."""
    def serve(sock, number):
        trouble.welcome(sock)
        heard = types.SimpleNamespace(sent=0)
        threading.Thread(target=listen, args=(trouble.on_wire(sock), heard), daemon=True).start()
        while not server.over.is_set():
            sock.sendall(say(heard.sent))
    server = trouble.Server(folder, serve)
    return server


def thread_seconds(pid):
    """Of the private thread: user and system time."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            name, _, rest = (task / "stat").read_text().partition(" (")[2].rpartition(") ")
            if name == "embmon":
                user, system = rest.split()[11:13]
                return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return None


def train(address, *arguments):
    """A training beside it: its last counts, the private thread's share of a processor, stderr."""
    began, share = time.monotonic(), 0.0
    with subprocess.Popen(load_command(*TRAINING, *arguments), env=environment(address), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as trainer:
        while trainer.poll() is None:
            seconds, elapsed = thread_seconds(trainer.pid), time.monotonic() - began
            assert elapsed < 60
            if seconds is not None and elapsed > 1:
                share = seconds / elapsed
            time.sleep(0.05)
        out, err = trainer.stdout.read(), trainer.stderr.read()
    assert trainer.returncode == 0, err
    return conserve(json.loads(out.splitlines()[-1])), share, err


@pytest.mark.parametrize("say", ATTACKS, ids=lambda say: say.__name__)
def test_a_trainer_beside_a_hostile_daemon(say, tmp_path_factory, weights):
    server = attacking(tmp_path_factory.mktemp("s"), say)
    try:
        counts, share, err = train(server.address, "--every", EVERY)
    finally:
        server.close()
    print(say.__name__, f"{share:.3f} of a processor", counts, err[:300])
    assert counts["weights"] == weights
    assert counts["max_rss_kib"] < RSS_KIB
    assert share < CPU_SHARE
    assert counts["acked"] == 0
    assert len(err.splitlines()) <= LINES
    assert "\x1b" not in err and "\u202e" not in err
    # Sampled are the steps that the trainer was told to, and few of those that were wished for:
    # 512, and one for four of the others.
    steps = STEPS / EVERY * 1.25 + 512
    assert counts["produced"] <= steps * (4 * LAYERS + 2)
    assert counts["produced"] + counts["skipped"] >= STEPS * 4 * LAYERS


@pytest.mark.parametrize("say", ATTACKS, ids=lambda say: say.__name__)
def test_posting_and_closing_beside_a_hostile_daemon_keep_their_time(say, tmp_path_factory):
    server = attacking(tmp_path_factory.mktemp("s"), say)
    try:
        found = unharmed_at_best(server.address, "--posts", 1000, "--close", 200, "--cycles", 3,
                                 close_ms=300)
    finally:
        server.close()
    assert found["call_us_max"] < 1000
    assert found["close_ms_max"] < 300


def test_a_daemon_that_comes_and_goes(tmp_path_factory, weights):
    """It does all that a daemon does, and hangs up at once: it is not run after, and not told of each
    time."""
    def serve(sock, number):
        trouble.welcome(sock)
        sock.sendall(encode(proto.Ack(kept=0)))
        connections.append(time.monotonic())
        time.sleep(0.01)
        sock.shutdown(2)

    connections = []
    server = trouble.Server(tmp_path_factory.mktemp("s"), serve)
    try:
        counts, share, err = train(server.address, "--every", EVERY, "--steps", 3 * STEPS)
    finally:
        server.close()
    print(len(connections), f"{share:.3f} of a processor", counts, err)
    assert 3 <= len(connections) <= 12  # 0.1, 0.2, 0.4 ... s apart
    assert share < CPU_SHARE
    assert len(err.splitlines()) <= LINES
