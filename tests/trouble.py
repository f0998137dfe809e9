"""What may be wrong with the daemon while a trainer posts: each is a context that gives the address
the trainer is told, and the daemon where there is a real one.

    with trouble.STATES["stopped"](folder) as state:
        load(state.address, ...)"""

import contextlib
import os
import random
import signal
import socket
import threading
import types

from harness import Closed, Peer, encode, proto
from trainers import Embmond, until


def on_wire(sock):
    """A Peer of a connection that was accepted: the other end of the same conversation."""
    peer = Peer.__new__(Peer)
    peer.socket, peer.received = sock, b""
    sock.settimeout(20)
    return peer


def welcome(sock):
    """Answers its Hello."""
    peer = on_wire(sock)
    with contextlib.suppress(Closed, OSError):
        assert peer.receive().DESCRIPTOR.name == "Hello"
        peer.send(proto.Welcome(protocol=1, run="load", next_step=0, every=1, sequence=0,
                                frame_limit=4 << 20))


class Server:
    """What a trainer may meet where it expects embmond: accepts, and gives each connection to a
    thread of its own, serve(socket, number), or does nothing more. Connections stay open until the
    end."""

    def __init__(self, folder, serve=None, backlog=128):
        self.address = f"unix:{folder}/mute.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{folder}/mute.sock")
        self.listener.listen(backlog)
        self.serve, self.peers, self.over = serve, [], threading.Event()
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                self.peers.append(peer)
                if self.serve:
                    self.threads.append(threading.Thread(
                        target=self._serve, args=(peer, len(self.peers)), daemon=True))
                    self.threads[-1].start()

    def _serve(self, peer, number):
        with contextlib.suppress(OSError):
            self.serve(peer, number)

    def close(self):
        self.over.set()
        for sock in [self.listener, *self.peers]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for sock in [self.listener, *self.peers]:
            sock.close()


def _state(address, daemon=None, stderr=None):
    return types.SimpleNamespace(address=address, daemon=daemon, stderr=stderr)


@contextlib.contextmanager
def absent(folder):
    yield _state(f"unix:{folder}/nobody.sock")


@contextlib.contextmanager
def refusing(folder):
    """A socket that nobody listens at."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{folder}/deaf.sock")
        yield _state(f"unix:{folder}/deaf.sock")


@contextlib.contextmanager
def stopped(folder):
    with Embmond() as daemon:
        daemon.signal(signal.SIGSTOP)
        try:
            yield _state(daemon.address, daemon)
        finally:
            daemon.signal(signal.SIGCONT)


@contextlib.contextmanager
def backlog_full(folder):
    """It listens and never accepts, and others wait already: connect() says EAGAIN, or would wait."""
    waiting = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{folder}/full.sock")
        sock.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM |
                                             socket.SOCK_NONBLOCK))
                waiting[-1].connect(f"{folder}/full.sock")
        yield _state(f"unix:{folder}/full.sock")
    for other in waiting:
        other.close()


@contextlib.contextmanager
def _served(folder, serve=None):
    server = Server(folder, serve)
    try:
        yield _state(server.address)
    finally:
        server.close()


def mute(folder):
    """It accepts, and that is all."""
    return _served(folder)


def never_reads(folder):
    """It welcomes, and never reads again."""
    return _served(folder, lambda sock, number: welcome(sock))


@contextlib.contextmanager
def a_byte_a_second(folder):
    """It welcomes, and reads a byte a second."""
    def serve(sock, number):
        welcome(sock)
        while not server.over.wait(1) and sock.recv(1):
            pass
    server = Server(folder, serve)
    try:
        yield _state(server.address)
    finally:
        server.close()


NONSENSE = [
    lambda chance: chance.randbytes(200_000),
    lambda chance: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    lambda chance: b"EMBM\x01\x00\x0a\x00\xff\xff\xff\xff" + chance.randbytes(70_000),
    lambda chance: encode(proto.Ack(kept=2**63)),
    lambda chance: encode(proto.Nack(sequence=2**64 - 1, reason=1, detail="no")),
    lambda chance: encode(proto.Wish(steps=65536, layer="layer_00")) * 1000,
    lambda chance: encode(proto.Heartbeat()) * 10_000,
    lambda chance: encode(proto.Welcome(protocol=1, run="another", every=1, frame_limit=4 << 20)),
    lambda chance: bytearray(b ^ (chance.random() < 0.01) for b in
                             encode(proto.Welcome(protocol=1, run="load", every=1)) * 200),
    lambda chance: encode(proto.Bye()),
]


def garbage(folder):
    """Each connection gets something else that no daemon says, before a Welcome and after one."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)

    def serve(sock, number):
        if number % 2:
            welcome(sock)
        sock.sendall(NONSENSE[number // 2 % len(NONSENSE)](chance))
    return _served(folder, serve)


@contextlib.contextmanager
def killed(folder):
    """Every 50 ms, and started again."""
    done, kills = threading.Event(), []
    with Embmond() as daemon:
        def disturb():
            while not done.wait(0.05):
                daemon.kill()
                kills.append(daemon.start())
        disturber = threading.Thread(target=disturb)
        disturber.start()
        try:
            until(lambda: kills, "the first kill")
            yield _state(daemon.address, daemon)
        finally:
            done.set()
            disturber.join()


@contextlib.contextmanager
def nobody_reads_stderr(folder):
    """No daemon, and the line that says so cannot be written: gives a full pipe for stderr."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write, bytes(4096)):
            pass
    os.set_blocking(write, True)
    try:
        yield _state(f"unix:{folder}/nobody.sock", stderr=write)
    finally:
        os.close(write)
        os.close(read)


STATES = {state.__name__: state for state in (
    absent, refusing, stopped, backlog_full, mute, never_reads, a_byte_a_second, garbage, killed,
    nobody_reads_stderr)}
