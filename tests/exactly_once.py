"""What exactly-once means: ranks that keep books of what they post and of what embmond has answered,
in Python, from docs/PROTOCOL.md, and what must then be in the event files.

    books = Books()
    ranks = [Rank(books, socket, rank, world) for rank in range(world)]
    ranks[0].step(0, {"layer_00": [0.5, -1.0]})     # posts; never waits
    ranks[0].pump()                                 # connects, sends, listens, as far as it can now
    books.check(shown)                              # a readers.Run
"""

import collections
import math
import os

import harness
from harness import proto


class Books:
    """How many elements each step has of each tag."""

    def __init__(self):
        self.elements = collections.defaultdict(collections.Counter)

    def enter(self, layer, step, values):
        self.elements[layer][step] += sum(math.isfinite(v) for v in values)

    def check(self, run):
        """Every record has what was posted to its steps, all behind the record before; and every step
        is in one."""
        for layer, posted in self.elements.items():
            for tag in (f"gradients/{layer}", f"gradients_log10/{layer}"):
                last = -1
                for step, rows in run.histograms[tag]:
                    expected = sum(posted[s] for s in range(last + 1, step + 1))
                    assert rows[:, 2].sum() == expected, (tag, last, step)
                    last = step
                assert last == max(posted), tag


class Rank:
    """A trainer: numbers its posts, keeps them until they are answered, and says again what the next
    embmond does not know of."""

    LAYERS = ["layer_00", "layer_01", "layer_02"]

    def __init__(self, books, path, rank, world, name="load"):
        self.books, self.path = books, path
        self.hello = dict(protocol_min=1, protocol_max=1, session=os.urandom(16), name=name,
                          rank=rank, world_size=world)
        self.waiting = {}  # sequence -> frame, ascending
        self.sequence = self.kept = self.durable = self.nacks = self.lost_nacks = 0
        self.peer, self.out, self.welcomed = None, b"", False

    # ---- what it posts

    def _post(self, kind, **fields):
        self.sequence += 1
        self.waiting[self.sequence] = frame = harness.encode(
            kind(sequence=self.sequence, phase=1, **fields))
        if self.welcomed:
            self.out += frame

    def step(self, step, gradients):
        for layer, values in gradients.items():
            self._post(proto.Sample, target=1 + self.LAYERS.index(layer), signal=1, step=step,
                       summary=harness.summary(values))
            self.books.enter(layer, step, values)
        self._post(proto.Scalar, step=step, name="loss", value=0.5)
        self._post(proto.StepEnd, step=step, posted=len(gradients) + 1)

    # ---- what it hears

    def _answered(self, sequence):
        """Everything up to this number is."""
        assert self.kept <= sequence <= self.sequence, "what was kept is forgotten, or never was"
        self.kept = sequence
        while self.waiting and (first := next(iter(self.waiting))) <= sequence:
            del self.waiting[first]

    def _on_welcome(self, welcome):
        # What it has heard of Nacks is the beginning of what was said.
        self.lost_nacks += max(0, welcome.rejected - self.nacks)
        self.nacks = welcome.rejected
        self._answered(welcome.sequence)
        self.hello["given"], self.welcomed = welcome.run, True
        self.out += harness.encode(proto.Layers(layers=[
            proto.Layer(id=1 + i, path=path, kind=2, trainable=True, dtype=1)
            for i, path in enumerate(self.LAYERS)])) + b"".join(self.waiting.values())

    def _on_message(self, message):
        kind = message.DESCRIPTOR.name
        if kind == "Welcome":
            self._on_welcome(message)
        elif kind == "Ack":
            self._answered(message.kept)
            assert message.durable <= message.kept
            self.durable = max(self.durable, message.durable)  # a new embmond may know of less
        elif kind == "Nack":
            raise AssertionError(f"a post was refused: {message}")

    # ---- its connection

    def _connect(self):
        self.peer, self.welcomed = harness.Peer(self.path), False
        self.peer.socket.setblocking(False)
        self.out = harness.encode(proto.Hello(**self.hello))

    def pump(self, hurry=False):
        """Sends and hears what can be now; True when all it has posted is answered."""
        try:
            if not self.peer:
                self._connect()
            if hurry and self.welcomed and not self.out:
                self.out = harness.encode(proto.Heartbeat(produced=self.sequence, hurry=True))
            while self.out:
                self.out = self.out[self.peer.socket.send(self.out):]
            while True:
                self._on_message(self.peer.receive())
        except BlockingIOError:
            pass
        except (harness.Closed, OSError):  # embmond is not there; what is waiting comes again
            self.close()
        return not self.waiting

    def close(self, bye=False):
        if self.peer and bye:
            self.peer.socket.setblocking(True)
            self.peer.send(proto.Bye())
            self.peer.receive_to_end()
        if self.peer:
            self.peer.close()
        self.peer, self.welcomed, self.out = None, False, b""
