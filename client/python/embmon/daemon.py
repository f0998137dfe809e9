"""Starts an embmond beside a notebook or script, when asked to."""

import os
import pathlib
import select
import shutil
import subprocess

from . import _lib

_START_TIMEOUT = 10.0  # seconds
_STOP_TIMEOUT = 8.0  # seconds: embmond drains at most 5

# embmond's command: says where embmond listens, which it does by then, and ends when the pipe to
# it closes. The kernel closes that even when we are killed, and embmond ends after its command.
_COMMAND = ("sh", "-c", 'echo "$EMBMON_ADDRESS"; exec cat >/dev/null')


def find() -> pathlib.Path:
    """The embmond carried with the package, else that of the repository's build, else that in
    PATH. FileNotFoundError where there is none."""
    path = _lib.find("embmond") or shutil.which("embmond")
    if path is None:
        raise FileNotFoundError("embmond is neither beside the Python package nor in PATH")
    return pathlib.Path(path)


class Daemon:
    """An embmond of this process, on a private socket. It ends with stop(), at the end of `with`,
    or when this process ends, however it ends. Its log goes to this process's stderr."""

    def __init__(self, logdir: str | os.PathLike[str] = "runs") -> None:
        """logdir: where TensorBoard reads. FileNotFoundError: no embmond; RuntimeError: it does not
        start, with its exit status."""
        self.logdir = pathlib.Path(logdir)
        # A session of its own: Ctrl-C is for the training.
        self._process = subprocess.Popen(
            [find(), "--logdir", self.logdir, "--", *_COMMAND], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True)
        try:
            self.address = self._await_address()
        except BaseException:
            self.stop()
            raise

    def _await_address(self) -> str:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            if not select.select([said], [], [], _START_TIMEOUT)[0]:
                raise RuntimeError(f"embmond does not listen after {_START_TIMEOUT} s")
            address = said.readline().decode().strip()
        if not address:
            raise RuntimeError(
                f"embmond ended with status {self._process.wait(_STOP_TIMEOUT)} (its log says why)")
        return address

    @property
    def pid(self) -> int:
        """Of embmond."""
        return self._process.pid

    def stop(self) -> int:
        """Ends embmond, which first writes all it has; returns its exit status, 0 when fine. A
        second call returns the same."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            status = self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        return status

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(logdir: str | os.PathLike[str] = "runs") -> Daemon:
    """Starts embmond writing to logdir, and waits until it listens (milliseconds). Nothing global
    is set: give its address on.

        daemon = embmon.start("runs")
        client = embmon.Client(address=daemon.address)
    """
    return Daemon(logdir)
