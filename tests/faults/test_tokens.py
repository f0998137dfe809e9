"""Who tries tokens: 10,000 wrong ones, and the trainers beside it."""

import pathlib
import random
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import trainers  # noqa: E402
from harness import Closed  # noqa: E402
from test_tcp import TOKEN, TcpDaemon, TcpPeer, write_token  # noqa: E402

ATTEMPTS = 10000


def wrong_token(chance):
    """The right one with something wrong: cut, longer (not by zeros: HMAC fills its key up with
    them), one bit, or anything at all."""
    at = chance.randrange(len(TOKEN))
    return chance.choice([
        TOKEN[:at], TOKEN + b"x" + chance.randbytes(at),
        TOKEN[:at] + bytes([TOKEN[at] ^ 1 << chance.randrange(8)]) + TOKEN[at + 1:],
        chance.randbytes(len(TOKEN)), b""])


def test_10000_wrong_tokens_are_refused_and_nobody_else_suffers(tmp_path):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    token = write_token(tmp_path / "token", TOKEN)
    with TcpDaemon("--token-file", token) as daemon, \
            trainers.Load(daemon.address, run="local") as trainer:
        trainer.run()
        before, began = trainers.rss_kib(daemon.process.pid), time.monotonic()
        for attempt in range(ATTEMPTS):
            # One machine alone would be heard once a second.
            source = f"127.{1 + attempt % 200}.{attempt // 200 % 200}.1"
            with TcpPeer(daemon.tcp, source=source) as peer, pytest.raises(Closed):
                peer.prove(wrong_token(chance))
            if attempt % 1000 == 0:
                trainer.steps(attempt // 1000, attempt // 1000)
                trainer.settle()
        took = time.monotonic() - began
        assert daemon.status()["failed_proofs"] == ATTEMPTS, f"seed {seed}"
        assert len(daemon.lines("its proof of the token is wrong")) <= 1 + took // 60
        assert trainers.rss_kib(daemon.process.pid) - before < 4096
        assert trainer.end()["dropped"] == 0
        with TcpPeer(daemon.tcp) as peer:
            peer.prove(TOKEN)
