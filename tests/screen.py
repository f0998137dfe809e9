"""A terminal of the test's own: a program in a pty, and what a person would see of it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pyte

from harness import TIMEOUT


class Terminal:
    """Runs a program in a terminal of this size. `seen` is all that it wrote."""

    def __init__(self, arguments, lines=24, columns=80, env=None):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.seen = b""
        self.master, self.slave = pty.openpty()
        self.resize(lines, columns)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            list(map(str, arguments)), stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env={k: v for k, v in os.environ.items() if k != "NO_COLOR"}
            | {"TERM": "xterm", "LC_ALL": "C.UTF-8"} | (env or {}),
            preexec_fn=self._control, start_new_session=True)

    def _control(self):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, lines, columns):
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def read(self, seconds=0.05):
        """Takes in what comes within this time."""
        if select.select([self.master], [], [], seconds)[0]:
            data = os.read(self.master, 1 << 16)
            self.seen += data
            self.stream.feed(data)

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def wait_for(self, what):
        """The lines of the screen, once this text is on it."""
        end = time.monotonic() + TIMEOUT
        while what not in "\n".join(self.lines()):
            assert time.monotonic() < end, f"{what!r} did not come:\n" + "\n".join(self.lines())
            self.read()
        return self.lines()

    def wait(self):
        """The exit status, all output taken in."""
        end = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self.read()
        self.read(0)
        return self.process.returncode
