"""How the programs are built, and how a supervisor starts them: told by readelf, by systemd's own
judge, and by playing the supervisor."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from harness import BUILD, ROOT

PLAIN = ROOT / "build"


def read(option, program):
    return subprocess.run(["readelf", "-W", option, PLAIN / program], check=True,
                          capture_output=True, text=True).stdout


@pytest.mark.parametrize("program", ["embmond", "embmonctl", "libembmon.so"])
def test_how_it_is_linked(program):
    assert re.search(r"Type:\s+DYN", read("-h", program))  # position-independent
    segments = read("-l", program)
    assert "GNU_RELRO" in segments
    stack, = re.findall(r"GNU_STACK.*", segments)
    assert "RWE" not in stack and not re.search(r"LOAD.* RWE ", segments)
    assert re.search(r"FLAGS.*NOW", read("-d", program))
    assert "TEXTREL" not in read("-d", program)


@pytest.mark.parametrize("program", ["embmond", "libembmon.so"])
def test_how_it_is_compiled(program):
    symbols = read("--dyn-syms", program)
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__(mem|str|v?sn?printf|fread|read).*_chk", symbols)  # _FORTIFY_SOURCE


def unit(tmp_path):
    """The installed unit's path."""
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr"], cwd=ROOT,
                   check=True, timeout=120)
    return tmp_path / "usr/lib/systemd/system/embmond.service"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_the_unit_is_hardened(tmp_path):
    path = unit(tmp_path)
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20",
                           "--no-pager", path], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    exposure = float(re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)[1])
    assert exposure <= 2.0


def starter(how):
    """Python that becomes embmond with `how` done to its environment first."""
    return ["-c", f"import os, sys\n{how}\nos.execv(sys.argv[1], sys.argv[1:])"]


def test_it_says_when_it_is_ready_that_it_turns_and_when_it_ends(tmp_path):
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(tmp_path / "notify"))
    ear.settimeout(10)
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with subprocess.Popen([BUILD / "embmond", "-q", "-l", tmp_path / "runs", "--listen",
                           f"unix:{tmp_path}/socket"], env=environment) as daemon:
        try:
            assert ear.recv(100) == b"READY=1"
            assert (tmp_path / "socket").exists()
            assert [ear.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            daemon.send_signal(signal.SIGTERM)
            said = ear.recv(100)
            while said == b"WATCHDOG=1":
                said = ear.recv(100)
            assert said == b"STOPPING=1"
            assert daemon.wait(10) == 0
        finally:
            daemon.kill()
    ear.close()


def test_a_command_is_not_what_is_supervised(tmp_path):
    done = subprocess.run(
        [BUILD / "embmond", "-q", "-l", tmp_path / "runs", "--", "env"], capture_output=True,
        text=True, timeout=30, check=False,
        env={**os.environ, "NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000",
             "LISTEN_FDS": "1", "LISTEN_PID": "1"})
    assert done.returncode == 0
    assert not re.search(r"^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)", done.stdout, re.MULTILINE)


def test_a_socket_that_is_handed_over(tmp_path):
    """As systemd does it: descriptor 3, named by LISTEN_FDS and LISTEN_PID. The peers that came
    before embmond was started are served, and the socket stays when it ends."""
    path = tmp_path / "handed"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(16)
    early = subprocess.Popen([BUILD / "embmonctl", "--address", f"unix:{path}", "--json", "status"],
                             stdout=subprocess.PIPE, text=True)
    assert select.select([listener], [], [], 10)[0]  # it waits in the queue
    how = (f"os.dup2({listener.fileno()}, 3)\n"
           "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))")
    with subprocess.Popen([sys.executable, *starter(how), BUILD / "embmond", "-q", "-l",
                           tmp_path / "runs"], pass_fds=[listener.fileno()]) as daemon:
        try:
            assert '"version"' in early.communicate(timeout=20)[0]
            assert early.returncode == 0
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(10) == 0
        finally:
            daemon.kill()
            early.kill()
    assert path.exists()
    listener.close()


def test_what_is_handed_over_must_be_such_a_socket(tmp_path):
    pair = socket.socketpair()
    pair[0].close()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        how = (f"os.dup2({listener.fileno()}, 3)\n"
               "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))")
        done = subprocess.run([sys.executable, *starter(how), BUILD / "embmond", "-l",
                               tmp_path / "runs"], pass_fds=[listener.fileno()], timeout=20,
                              capture_output=True, text=True, check=False)
    pair[1].close()
    assert done.returncode == 64
    assert "no Unix stream socket with a path: give ListenStream=/PATH" in done.stderr
