"""`embmond -- COMMAND`: the command is started as if embmond were not there."""

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from harness import EMBMOND, wait_for

# A command that posts: joins a run by the environment it was given, says a few steps, ends.
TRAINER = """
import os, sys
sys.path.insert(0, %r)
from harness import Trainer
trainer = Trainer(os.environ["EMBMON_ADDRESS"].removeprefix("unix:"), os.environ["EMBMON_RUN"])
for step in range(6):
    trainer.step(step, values=[float("nan")] if step == 3 and "nan" in sys.argv else [0.5, 0.25])
trainer.settle()
sys.exit(7)
""" % os.path.dirname(os.path.abspath(__file__))


def run(*command, options=(), env=None, **named):
    """(exit status, stdout, stderr) of embmond -- command."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EMBMON_R")} | (env or {})
    done = subprocess.run([str(EMBMOND), *map(str, options), "--", *map(str, command)], text=True,
                          capture_output=True, timeout=30, env=environment, check=False, **named)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def logdir(tmp_path):
    return ["-l", str(tmp_path)]


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_the_status_of_the_command_is_passed(logdir, status):
    assert run("sh", "-c", f"exit {status}", options=logdir)[0] == status


def test_death_by_a_signal_is_128_and_its_number(logdir):
    assert run("sh", "-c", "kill -9 $$", options=logdir)[0] == 137
    assert run("sh", "-c", "kill -TERM $$", options=logdir)[0] == 143


def test_what_cannot_start_fails_as_in_a_shell(logdir, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    for command, expected in (["/no/such/program"], 127), (["no-such-program"], 127), ([plain], 126):
        status, out, err = run(*command, options=logdir)
        assert status == expected
        assert len([x for x in err.splitlines() if "cannot run" in x and str(command[0]) in x]) == 1
        assert out == ""


def test_it_knows_where_and_in_which_run(logdir, tmp_path):
    script = 'echo "$EMBMON_ADDRESS|$EMBMON_RUN"; ls -ld "$(dirname "${EMBMON_ADDRESS#unix:}")"'
    status, out, _ = run("sh", "-c", script, options=logdir, env={"TMPDIR": "/tmp"})
    address, name = out.splitlines()[0].split("|")
    assert status == 0
    assert re.fullmatch(r"unix:/.*/embmond-\w{6}/socket", address)
    assert re.fullmatch(r"sh-\d{8}-\d{6}", name)
    assert out.splitlines()[1].startswith("drwx------")
    assert not os.path.exists(os.path.dirname(address.removeprefix("unix:")))


def test_a_run_the_user_named_is_kept(logdir):
    assert run("sh", "-c", "echo $EMBMON_RUN", options=logdir, env={"EMBMON_RUN": "mine"})[1] == \
        "mine\n"


def test_with_listen_the_given_address_is_used(daemons):
    daemon = daemons(command=["sh", "-c", "echo $EMBMON_ADDRESS"], stdout=subprocess.PIPE)
    assert daemon.process.communicate()[0].decode() == f"unix:{daemon.socket}\n"
    assert not daemon.socket.exists()


def test_its_input_output_and_arguments_are_its_own(logdir):
    status, out, _ = run("sh", "-c", 'cat; echo "$0 $1 $2"', "--", "-v", "a b", options=logdir,
                         input="hello\n")
    assert (status, out) == (0, "hello\n-- -v a b\n")


def test_no_file_descriptor_and_no_signal_setting_leaks(logdir):
    script = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status"
    plain = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True,
                           stdin=subprocess.DEVNULL)
    assert run("sh", "-c", script, options=logdir, stdin=subprocess.DEVNULL)[1] == plain.stdout


def test_what_was_flagged_is_summed_up(logdir):
    status, _, err = run(sys.executable, "-c", TRAINER, "nan", options=["-q", *logdir],
                         env={"EMBMON_RUN": "bad"})
    assert status == 7
    assert "embmond: run bad, 6 steps:" in err
    assert re.search(r"critical gradient_nonfinite in tower/embedding: first at step 3", err)


def test_a_healthy_command_is_told_so(logdir):
    status, _, err = run(sys.executable, "-c", TRAINER, options=logdir)
    assert status == 7
    assert re.search(r"embmond: run python[\w.]*-\d{8}-\d{6}, 6 steps:\n.*nothing flagged\n", err)


def test_a_command_that_posts_nothing_is_told_so(logdir):
    assert "posted nothing" in run("true", options=logdir)[2]


def test_what_was_posted_last_is_recorded(logdir, tmp_path):
    # The command ends the moment its last bytes are in the socket.
    quick = TRAINER.replace("trainer.settle()", "os._exit(0)")
    started = time.monotonic()
    status, _, err = run(sys.executable, "-c", quick, options=logdir, env={"EMBMON_RUN": "quick"})
    assert status == 0
    assert time.monotonic() - started < 10
    assert "embmond: run quick, 6 steps:" in err


def test_a_grandchild_that_lives_on_is_waited_for_at_most_five_seconds(logdir, tmp_path):
    script = TRAINER.replace("sys.exit(7)", """
if os.fork() == 0:
    import time
    os.closerange(0, 3)
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(60)
""")
    started = time.monotonic()
    status, _, _ = run(sys.executable, "-c", script, tmp_path / "pid", options=logdir)
    took = time.monotonic() - started
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert status == 0
    assert 4.5 < took < 9


WAITER = """
import os, signal, sys, time
def heard(number, _):  # the next one may come while this is said, which print() does not bear
    os.write(1, (signal.Signals(number).name + "\\n").encode())
    if number == signal.SIGTERM:
        sys.exit(3)
for name in ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "CONT"):
    signal.signal(getattr(signal, "SIG" + name), heard)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def waiter(daemons):
    """An embmond in a session of its own (no terminal) with a command that tells its signals."""
    daemon = daemons(command=[sys.executable, "-c", WAITER], stdout=subprocess.PIPE,
                     start_new_session=True, text=True)
    assert daemon.process.stdout.readline() == "ready\n"
    yield daemon
    if daemon.alive():
        daemon.signal(signal.SIGTERM)
        daemon.wait()


def test_signals_are_passed_on_and_end_only_the_command(waiter):
    for name in ("INT", "INT", "QUIT", "HUP", "USR1", "USR2", "CONT"):
        waiter.signal(getattr(signal, "SIG" + name))
        assert waiter.process.stdout.readline() == f"SIG{name}\n"
        assert waiter.alive()
    assert waiter.status()["pid"] == waiter.process.pid  # and serves still
    waiter.signal(signal.SIGTERM)
    assert waiter.process.stdout.readline() == "SIGTERM\n"
    assert waiter.wait() == 3


def test_if_embmond_dies_the_command_goes_on(daemons, tmp_path):
    script = f"echo $$; read line; echo $line >{tmp_path}/after"
    daemon = daemons(command=["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pid = int(daemon.process.stdout.readline())
    daemon.process.kill()
    daemon.wait()
    os.kill(pid, 0)
    daemon.process.stdin.write(b"still here\n")
    daemon.process.stdin.close()
    wait_for(lambda: (tmp_path / "after").exists() and (tmp_path / "after").read_text(), "the child")
    assert (tmp_path / "after").read_text() == "still here\n"


def test_nohup_stays_in_force(daemons, tmp_path):
    def ignore_hangup():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    daemon = daemons(command=["sh", "-c", "echo ready; read line; exit 4"], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, preexec_fn=ignore_hangup)
    assert daemon.process.stdout.readline() == b"ready\n"
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGCONT)
    assert daemon.status()["pid"] == daemon.process.pid
    daemon.process.stdin.close()
    assert daemon.wait() == 4


def test_ctrl_c_in_a_terminal_reaches_the_command_once(tmp_path):
    # The terminal's foreground group is embmond and its command: both get what is typed.
    script = WAITER.replace("number == signal.SIGTERM", "number == signal.SIGQUIT")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(EMBMOND, [str(EMBMOND), "-q", "-l", str(tmp_path), "--", sys.executable, "-c",
                           script])
    seen = b""
    try:
        while b"ready" not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        while b"SIGINT" not in seen:
            seen += os.read(terminal, 4096)
        # All that could still come has come when a later signal, passed on by embmond, is heard.
        os.kill(pid, signal.SIGUSR1)
        while b"SIGUSR1" not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, b"\x1c")  # Ctrl-\
        _, status = os.waitpid(pid, 0)
        try:
            while data := os.read(terminal, 4096):
                seen += data
        except OSError:
            pass
    finally:
        os.close(terminal)
    assert seen.count(b"SIGINT") == 1
    assert seen.count(b"SIGQUIT") == 1
    assert os.waitstatus_to_exitcode(status) == 3
