"""embmond's command line: what it takes, and one clear line for what it does not."""

import json
import os
import re
import stat
import subprocess
import tempfile

import pytest

from harness import EMBMOND, Peer, wait_for


def run(*arguments, env=None, **named):
    """embmond that is expected to end by itself."""
    environment = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"} | (env or {})
    return subprocess.run([str(EMBMOND), *map(str, arguments)], capture_output=True, text=True,
                          timeout=20, env=environment, check=False, **named)


def must_fail(status, words, *arguments, **named):
    """One line that names the trouble, and the exit status."""
    done = run(*arguments, **named)
    lines = done.stderr.splitlines()
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0], lines[0]


def test_help_explains_every_option_on_stdout():
    for option in ("-h", "--help"):
        done = run(option)
        assert (done.returncode, done.stderr) == (0, "")
        for word in ("--logdir", "./runs", "--listen", "--verbose", "--quiet", "--log-format",
                     "--config", "--test-config", "--version", "--help", "-- COMMAND"):
            assert word in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 100


def test_version_is_one_line_on_stdout():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"embmond \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("arguments", [["--no-such"], ["-x"], ["--http", ":80"],
                                       ["--logdi", "d"], ["--conf", "f"]])
def test_an_unknown_option_is_named(arguments):
    must_fail(64, [f"unknown option {arguments[0]}", "see embmond --help"], *arguments)


def test_wrong_values_are_named(tmp_path):
    must_fail(64, ["tcp:127.0.0.1", "tcp:HOST:PORT"], "--listen", "tcp:127.0.0.1")
    must_fail(64, ["107 bytes"], "--listen", "unix:/" + "p" * 107)
    must_fail(64, ["unix:PATH"], "--listen", str(tmp_path))
    must_fail(64, ["text or json"], "--log-format", "xml")
    must_fail(64, ["--logdir needs a value"], "--logdir")
    must_fail(64, ["train.py", "goes after --"], "train.py")
    must_fail(64, ["a command must follow"], "--")


def test_a_logdir_that_cannot_be_written_is_said(tmp_path):
    file = tmp_path / "file"
    file.touch()
    must_fail(73, [str(file), "Not a directory", "--logdir"], "-l", file)
    must_fail(73, [str(file / "below"), "Not a directory", "--logdir"], "-l", file / "below")
    must_fail(73, ["/proc/none", "--logdir"], "-l", "/proc/none")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_logdir_is_said(tmp_path):
    tmp_path.chmod(0o500)
    must_fail(73, [str(tmp_path), "Permission denied"], "-l", tmp_path)


def test_the_logdir_is_made_with_its_parents(daemons, tmp_path):
    daemons(logdir=tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_socket_that_cannot_be_made_is_said(tmp_path):
    file = tmp_path / "file"
    file.touch()
    must_fail(73, ["/no/such/socket", "No such file", "--listen"],
              "-l", tmp_path, "--listen", "unix:/no/such/socket")
    must_fail(73, [str(file), "not a socket of ours"], "-l", tmp_path, "--listen", f"unix:{file}")
    assert file.is_file()


def test_a_socket_already_served_is_said(daemon, tmp_path):
    must_fail(69, [str(daemon.socket), "already served", "stop it"],
              "-l", tmp_path, "--listen", f"unix:{daemon.socket}")
    assert daemon.alive()
    assert daemon.status()["pid"] == daemon.process.pid


def test_of_many_started_at_once_one_serves(daemon, tmp_path):
    path = daemon.folder / "raced"
    many = [subprocess.Popen([str(EMBMOND), "-l", str(tmp_path), "--listen", f"unix:{path}"],
                             stderr=subprocess.DEVNULL) for _ in range(8)]
    try:
        wait_for(lambda: sum(p.poll() is not None for p in many) == 7, "all but one to end")
        assert sorted(str(p.poll()) for p in many) == ["69"] * 7 + ["None"]
        assert path.is_socket()
    finally:
        for p in many:
            p.kill()
            p.wait()


def test_the_socket_is_the_owner_s_alone_and_gone_at_the_end(daemon):
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    assert daemon.stop() == 0
    assert sorted(p.name for p in daemon.folder.iterdir()) == ["log", "runs"]


def test_a_socket_nobody_answers_is_replaced_with_one_line(daemon):
    daemon.process.kill()
    daemon.wait()
    assert daemon.socket.is_socket()
    daemon.start()
    assert len(daemon.lines("replaced the socket")) == 1
    assert daemon.status()["runs"] == 0


def test_several_addresses_are_served(daemon, daemons):
    second = daemon.folder / "second"
    both = daemons("--listen", f"unix:{second}")
    for path in both.socket, second:
        with Peer(path) as peer:
            assert peer.query("status")[1][0]["pid"] == both.process.pid
    assert both.stop() == 0
    assert not second.exists()


def test_the_default_is_the_runtime_folder_then_home(daemons, daemon):
    with_runtime = daemons(listen=False, env={"XDG_RUNTIME_DIR": str(daemon.folder)})
    assert (daemon.folder / "embmond.sock").is_socket()
    # any of the list being served is enough
    environment = {"HOME": str(with_runtime.folder), "XDG_RUNTIME_DIR": str(daemon.folder)}
    must_fail(69, ["embmond.sock", "already served"], "-l", daemon.logdir, env=environment)
    assert not (with_runtime.folder / ".embmond").exists()


@pytest.mark.skipif(os.path.exists(f"/run/user/{os.geteuid()}"), reason="it would be served")
def test_without_a_runtime_folder_home_is_used(daemons):
    daemon = daemons(listen=False)
    folder = daemon.folder / ".embmond"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [p.suffix for p in sorted(folder.iterdir())] == [".sock", ".lock"]
    must_fail(73, ["no default socket", "--listen"], "-l", daemon.logdir,
              env={"HOME": "/no/such/home"})


def test_quiet_says_nothing_while_all_is_well(daemons):
    daemon = daemons("-q")
    assert [line for line in daemon.log().splitlines() if "running as root" not in line] == []


def test_json_logs_are_objects(daemons):
    daemon = daemons("--log-format", "json")
    lines = [json.loads(line) for line in daemon.log().splitlines()]
    assert {"time", "level", "message"} == set(lines[-1])
    assert "listening on" in lines[-1]["message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is told")
@pytest.mark.parametrize("listen, told", [
    (["--listen", "unix:{}/one", "--listen", "unix:{}/two"], 1), (["--listen", "tcp:127.0.0.1:0"], 0),
    ([], 0)], ids=["unix", "tcp", "private"])
def test_root_is_told_once_where_others_might_want_to_connect(tmp_path, listen, told):
    with tempfile.TemporaryDirectory() as folder:
        done = run("-l", tmp_path, *(word.format(folder) for word in listen), "--", "true")
    assert done.returncode == 0
    assert "listening on" in done.stderr and done.stderr.count("running as root") == told
