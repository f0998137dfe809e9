"""Starts an embmond beside a notebook or script, when asked to."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from . import _lib

_START_TIMEOUT = 10.0  # seconds
_STOP_TIMEOUT = 8.0  # seconds: embmond drains at most 5
_POLL = 0.01


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
        program = find()
        self.logdir = pathlib.Path(logdir)
        self._folder = tempfile.mkdtemp(prefix="embmon-")  # 0700: nobody else's socket
        path = os.path.join(self._folder, "socket")
        self.address = f"unix:{path}"
        # `cat` ends when the pipe to it closes, which the kernel does even if we are killed, and
        # embmond ends after its command. A session of its own: Ctrl-C is for the training.
        self._process = subprocess.Popen(
            [program, "--logdir", self.logdir, "--listen", self.address, "--", "cat"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            self._await(path)
        except BaseException:
            self.stop()
            raise

    def _await(self, path: str) -> None:
        end = time.monotonic() + _START_TIMEOUT
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(path)
                    return
                except OSError:
                    pass
            status = self._process.poll()
            if status is not None:
                raise RuntimeError(f"embmond ended with status {status} (its log says why)")
            if time.monotonic() > end:
                raise RuntimeError(f"embmond does not listen after {_START_TIMEOUT} s")
            time.sleep(_POLL)

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
        shutil.rmtree(self._folder, ignore_errors=True)
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
