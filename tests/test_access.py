"""Who may talk to whom, and where files may lie: other users of the machine, names and links."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from harness import BUILD, EMBMONCTL, Daemon

NOBODY, SOMEBODY = 65534, 65533

LISTENER = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
os.umask(0)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(1)
print("there", flush=True)
c, _ = s.accept()
c.settimeout(10)
print(c.recv(100), flush=True)
"""


@pytest.fixture
def open_folder():
    """One that all users of the machine may write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield pathlib.Path(folder)


@contextlib.contextmanager
def listening_as(user, path):
    """Another user's program at a socket; gives what it hears of the first who comes."""
    with subprocess.Popen([sys.executable, "-c", LISTENER, path, str(user)], text=True,
                          stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == "there\n"
            yield process.stdout.readline
        finally:
            process.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become two other users")
@pytest.mark.parametrize("command, status, said", [
    ([EMBMONCTL, "status"], 69, "another user's program listens there"),
    ([BUILD / "tools" / "load", "--run", "r", "--steps", "1", "--drain", "200"], 0,
     "it belongs to another user")])
def test_another_user_s_daemon_is_told_nothing(open_folder, command, status, said):
    path = open_folder / "socket"
    program = shutil.copy(command[0], open_folder)  # where it is other users may not look
    with listening_as(NOBODY, path) as hears:
        done = subprocess.run([program, *command[1:]], timeout=20, capture_output=True, text=True,
                              user=SOMEBODY, env={"EMBMON_ADDRESS": f"unix:{path}"}, check=False)
        assert hears() == "b''\n"
    assert done.returncode == status, done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("mode, said", [(0o755, 0), (0o775, 0), (0o1777, 0), (0o777, 1)])
def test_a_logdir_that_everybody_may_change_is_said(open_folder, mode, said):
    logdir = open_folder / "runs"
    logdir.mkdir()
    logdir.chmod(mode)
    with Daemon(logdir=logdir) as daemon:
        assert len(daemon.lines("every user may change what is in the logdir")) == said
