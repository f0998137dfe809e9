"""The terminal's own troubles: one that takes nothing, one without keys, signals that are ignored."""

import os
import signal
import subprocess
import termios
import time

from harness import EMBMONCTL, wait_for
from screen import Terminal


def watch(daemon, **options):
    return Terminal([EMBMONCTL, "--address", f"unix:{daemon.socket}", "watch"], **options)


def test_a_terminal_that_is_held_can_still_be_left(daemon):
    trainer = daemon.trainer("run")
    with watch(daemon) as terminal:
        terminal.wait_for("run  live")
        termios.tcflow(terminal.slave, termios.TCOOFF)  # as Ctrl-S does
        for _ in range(3):
            terminal.read(1)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 0
        assert terminal.seen.endswith(b"\x1b[?1049l")
    trainer.close()


def test_a_terminal_that_nobody_reads_can_still_be_left(daemon):
    trainer = daemon.trainer("run")
    with watch(daemon, lines=500, columns=900) as terminal:
        wait_for(lambda: b"run" in terminal.seen or terminal.read(), "its beginning")
        fill = os.open(os.ttyname(terminal.slave), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            while True:
                os.write(fill, b"x" * 4096)
        except BlockingIOError:
            pass
        time.sleep(1.5)  # a picture is due, and does not get through
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(20) == 0
        os.close(fill)
    trainer.close()


def test_keys_may_come_from_elsewhere(daemon):
    trainer = daemon.trainer("run")
    with watch(daemon) as terminal:
        terminal.wait_for("run  live")
        process = subprocess.Popen(
            [str(EMBMONCTL), "--address", f"unix:{daemon.socket}", "watch"], stdout=terminal.slave,
            stdin=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"})
        try:
            wait_for(lambda: terminal.read() or terminal.seen.count(b"\x1b[?1049h") == 2, "both")
        finally:
            process.terminate()
        wait_for(lambda: terminal.read() or process.poll() is not None, "its end")
        assert process.returncode == 0
    trainer.close()


def test_the_terminal_goes_away(daemon):
    trainer = daemon.trainer("run")
    with watch(daemon) as terminal:
        terminal.wait_for("run  live")
        process = terminal.process
        spare = os.dup(terminal.slave)
        os.close(terminal.master)
        assert process.wait(20) == 0
        terminal.master = spare  # what __exit__ closes
    trainer.close()


def test_what_was_ignored_stays_ignored(daemon):
    trainer = daemon.trainer("run")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does; it is inherited
    try:
        with watch(daemon) as terminal:
            terminal.wait_for("run  live")
            terminal.process.send_signal(signal.SIGHUP)
            terminal.type(b"x")
            terminal.read(1.5)
            assert terminal.process.poll() is None
            terminal.type(b"q")
            assert terminal.wait() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    trainer.close()


def test_a_terminal_without_a_size_is_of_the_usual_one(daemon):
    trainer = daemon.trainer("run")
    with watch(daemon, lines=0, columns=0) as terminal:
        terminal.screen.resize(24, 80)
        assert terminal.wait_for("q quits")[0].endswith("q quits")
        assert len(terminal.lines()[0]) == 80
    trainer.close()
