"""Names and bytes of those who do not mean well: nothing of them is taken, nothing lies outside the
logdir, and a trainer beside them notices nothing. tests/faults/test_hostile.py does the same for longer.
"""

import socket

import pytest

import hostile
from test_tcp import TcpDaemon, where, write_token
from trainers import Embmond, shown

TOKEN = b"a token of the tests, of random bytes"


def test_hundreds_of_names_are_no_run_s(tmp_path):
    names = hostile.names()
    assert len(names) >= 300
    with Embmond(cwd=tmp_path) as daemon, hostile.beside(daemon):
        hostile.refuse_runs(daemon, names)
        assert [run["name"] for run in daemon.ask("runs")] == ["beside"]
        assert [path.name for path in daemon.logdir.iterdir()] == ["beside"]
        assert hostile.left_outside(daemon) == [] and list(tmp_path.iterdir()) == []


def test_odd_names_are_folders_of_just_that_name():
    with Embmond() as daemon:
        for name in hostile.ODD_RUNS:
            with daemon.trainer(name) as trainer:
                assert trainer.run == name
                assert (daemon.logdir / name / "embmon").is_dir()
                trainer.bye()
        assert hostile.left_outside(daemon) == []


def test_what_may_be_a_layer_s_name_is_shown_as_it_is_and_all_else_is_refused(tmp_path):
    with Embmond(cwd=tmp_path) as daemon:
        with hostile.beside(daemon):
            taken = {name.decode() for name in hostile.post_names(daemon, hostile.names(), "names")}
            hostile.refuse_posts(daemon, hostile.names(), "refused")
            assert len(taken) > 100
            assert taken <= {layer["layer"] for layer in daemon.ask("layers", "names")}
            assert {path.name for path in daemon.logdir.iterdir()} == {
                "beside", "names", "refused", "refused-declares"}
            assert hostile.left_outside(daemon) == [] and list(tmp_path.iterdir()) == []
        daemon.stop()
        run = shown(daemon.logdir, "names")
    assert {f"gradients/{name}" for name in taken} <= run.histograms.keys()
    assert {f"scalars/{name}" for name in taken} <= run.scalars.keys()


@pytest.mark.parametrize("guarded", [True, False])
def test_other_protocols_come_to_the_port(tmp_path, guarded):
    options = ("--token-file", write_token(tmp_path / "token", TOKEN)) if guarded else ()
    with TcpDaemon(*options) as daemon, hostile.beside(daemon):
        def connect(number):
            return socket.create_connection(where(daemon.tcp), 5, (f"127.0.0.{2 + number % 200}", 0))

        hostile.knock(connect, 300, seed=guarded)
        assert [run["name"] for run in daemon.ask("runs")] == ["beside"]
        assert len(daemon.log().splitlines()) < 30


def test_other_protocols_come_to_the_socket():
    def connect(number):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(daemon.socket))
        return sock

    with Embmond() as daemon, hostile.beside(daemon):
        hostile.knock(connect, 300, seed=2)
        assert [run["name"] for run in daemon.ask("runs")] == ["beside"]
        assert len(daemon.log().splitlines()) < 30


def test_links_that_come_and_go_lead_nowhere(tmp_path):
    with Embmond() as daemon, hostile.beside(daemon), \
            hostile.Swapper(daemon.logdir, "raced", tmp_path / "victim") as swapper:
        joined = sum(hostile.train_in(daemon, "raced") for _ in range(30))
        assert swapper.swaps > 100
    print(joined, "of 30 were welcomed,", swapper.swaps, "swaps")
    assert swapper.seen() == swapper.before
