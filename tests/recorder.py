"""A daemon that only listens: takes all a client posts, acknowledges it, and keeps it to be looked at.

    with Recorder() as recorder:
        client = embmon.Client(address=recorder.address)
        ...
        recorder.samples(path)      # the Sample messages of a layer or variable, in order
"""

import pathlib
import shutil
import socket
import tempfile
import threading

from harness import Closed, Peer, proto, wait_for


class _Connection(Peer):
    def __init__(self, accepted):  # pylint: disable=super-init-not-called
        self.socket = accepted
        self.received = b""


class Recorder:
    """One connection after the other. next_step and run are what every Welcome says."""

    def __init__(self, run="recorded", next_step=0, every=1):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="embmon-test-"))
        self.address = f"unix:{self.folder}/socket"
        self.run, self.next_step, self.every = run, next_step, every
        self.messages = []  # all but Heartbeat
        self.connection = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"{self.folder}/socket")
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.connection = _Connection(accepted)
            try:
                while True:
                    self._answer(self.connection.receive())
            except (Closed, OSError):
                self.connection.close()

    def _answer(self, message):
        kind = message.DESCRIPTOR.name
        if kind == "Heartbeat":
            return
        self.messages.append(message)
        if kind == "Hello":
            self.connection.send(proto.Welcome(protocol=1, run=self.run, next_step=self.next_step,
                                               every=self.every, frame_limit=1 << 20))
        elif hasattr(message, "sequence"):
            self.connection.send(proto.Ack(kept=message.sequence, durable=message.sequence))

    def of(self, kind):
        return [message for message in self.messages if message.DESCRIPTOR.name == kind]

    def hello(self):
        return wait_for(lambda: self.of("Hello"), "Hello")[-1]

    def layers(self):
        """path -> Layer, as last declared; a Layers message may hold only what is new."""
        return {layer.path: layer for message in self.of("Layers") for layer in message.layers}

    def variables(self):
        """path -> Variable"""
        paths = {layer.id: path for path, layer in self.layers().items()}
        return {f"{paths[variable.layer]}/{variable.name}": variable
                for message in self.of("Layers") for variable in message.variables}

    def samples(self, path):
        target = (self.layers() | self.variables())[path].id
        return [sample for sample in self.of("Sample") if sample.target == target]

    def close(self):
        # shutdown() wakes the accept() of the thread, close() alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self.connection:
            try:
                self.connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
