"""Those who do not mean well, for longer than in tests/test_strangers.py: names anywhere on the machine,
10,000 connections of other protocols, and 20 seconds of links that come and go."""

import pathlib
import random
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import hostile  # noqa: E402
from test_tcp import TOKEN, TcpDaemon, where, write_token  # noqa: E402
from trainers import Embmond, rss_kib  # noqa: E402

CONNECTIONS = 10_000
SECONDS = 20


def test_nothing_is_written_outside_the_logdir(tmp_path):
    marker = tmp_path / "marker"
    marker.touch()
    with Embmond(cwd=tmp_path) as daemon, hostile.beside(daemon):
        names = hostile.names()
        hostile.refuse_runs(daemon, names)
        hostile.post_names(daemon, names, "names")
        hostile.refuse_posts(daemon, names, "refused")
        assert hostile.found_since(marker, str(daemon.logdir)) == []
        assert hostile.left_outside(daemon) == [] and list(tmp_path.iterdir()) == [marker]


@pytest.mark.parametrize("guarded", [True, False], ids=["token", "no_token"])
def test_10000_strangers_at_the_port(tmp_path, guarded):
    seed = random.randrange(2**32)
    options = ("--token-file", write_token(tmp_path / "token", TOKEN)) if guarded else ()
    with TcpDaemon(*options) as daemon, hostile.beside(daemon):
        before, began = rss_kib(daemon.process.pid), time.monotonic()

        def connect(number):
            source = f"127.{1 + number % 250}.{number // 250 % 250}.1"  # each is a machine of its own
            return socket.create_connection(where(daemon.tcp), 5, (source, 0))

        hostile.knock(connect, CONNECTIONS, seed)
        took, grown = time.monotonic() - began, rss_kib(daemon.process.pid) - before
        print(f"seed {seed}: {took:.0f} s, {grown} KiB more, {daemon.status()}")
        assert [run["name"] for run in daemon.ask("runs")] == ["beside"]
        assert grown < 16384  # what a long message has needed once is kept
        assert len(daemon.log().splitlines()) < 30 + 8 * took / 60


def test_10000_strangers_at_the_socket():
    seed = random.randrange(2**32)
    print(f"seed {seed}")

    def connect(number):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(daemon.socket))
        return sock

    with Embmond() as daemon, hostile.beside(daemon):
        hostile.knock(connect, CONNECTIONS, seed)
        assert [run["name"] for run in daemon.ask("runs")] == ["beside"]


@pytest.mark.timeout(SECONDS + 120)
def test_links_that_come_and_go_lead_nowhere(tmp_path):
    joined = tried = 0
    with Embmond() as daemon, hostile.beside(daemon), \
            hostile.Swapper(daemon.logdir, "raced", tmp_path / "victim") as swapper:
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            joined += hostile.train_in(daemon, "raced")
            tried += 1
    print(f"{joined} of {tried} were welcomed, {swapper.swaps} swaps")
    assert joined > 0 and swapper.swaps > 1000
    assert swapper.seen() == swapper.before
