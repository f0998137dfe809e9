"""What the client library does to a trainer's process, seen from outside."""
import os
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("EMBMON_BUILD", "build")
CALLS = BUILD / "tools" / "calls"


def environment(folder):
    return {"PATH": os.environ["PATH"], "EMBMON_ADDRESS": f"unix:{folder}/nobody"}


def test_one_warning_and_nothing_else_where_no_daemon_is(tmp_path):
    done = subprocess.run([CALLS], env=environment(tmp_path), capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0
    assert int(done.stdout) == 551  # 50 steps of 10 posts and an end, an epoch: all undelivered
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"embmon: no daemon at unix:{tmp_path}/nobody")


def test_the_warning_names_every_address_that_was_tried(tmp_path):
    done = subprocess.run([CALLS], capture_output=True, text=True, timeout=30, env={
        "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": f"{tmp_path}/run", "HOME": f"{tmp_path}/home"})
    tried = (f"unix:{tmp_path}/run/embmond.sock, unix:/run/user/{os.geteuid()}/embmond.sock or "
             f"unix:{tmp_path}/home/.embmond/{socket.gethostname()}.sock")
    assert done.stderr == (
        f"embmon: no daemon at {tried}: nobody listens there (start embmond beside training, or set "
        "EMBMON_ADDRESS to where it is); posts are kept, oldest dropped when 32 MiB wait\n")


def test_a_trainer_that_does_not_close_ends_all_the_same(tmp_path):
    done = subprocess.run([CALLS, "no close"], env=environment(tmp_path), timeout=10)
    assert done.returncode == 0


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_no_call_after_open_makes_a_system_call(tmp_path):
    trace = tmp_path / "trace"
    done = subprocess.run(["strace", "-ff", "-o", trace, CALLS], env=environment(tmp_path),
                          capture_output=True, text=True, timeout=60)
    if "ptrace" in done.stderr:
        pytest.skip("ptrace is not allowed here")
    assert done.returncode == 0
    threads = [path.read_text().splitlines() for path in tmp_path.glob("trace.*")]
    assert len(threads) == 2  # the trainer's and the private one
    calls = next(lines for lines in threads if lines[0].startswith("execve("))
    markers = [i for i, call in enumerate(calls) if call.startswith("getppid(")]
    assert len(markers) == 2
    assert calls[markers[0] + 1:markers[1]] == []


def test_only_the_public_names_are_exported():
    library = BUILD / "libembmon.so"
    if not library.exists():
        pytest.skip("not built")
    names = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True,
                           check=True).stdout
    exported = {line.split()[-1] for line in names.splitlines()}
    header = (ROOT / "include" / "embmon" / "embmon.h").read_text()
    declared = set(re.findall(r"^EMBMON_API[^;]*?\b(embmon_\w+)\(", header, re.M | re.S))
    assert exported == declared


def test_threads_may_declare_and_post_at_once(daemon):
    """A post must not overtake its layer's declaration, which another thread's may hold up."""
    for number in range(20):
        out = subprocess.run([BUILD / "tools" / "declare", f"unix:{daemon.socket}", f"run{number}"],
                             capture_output=True, text=True, timeout=60, check=True).stdout
        assert [int(count) for count in out.split()] == [1601, 1601, 0, 0]
