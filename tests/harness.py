"""An embmond of its own for each test, and a client that can say anything to it.

The client is written from docs/PROTOCOL.md with Python's protobuf; it shares no code with ours.
"""

import json
import math
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("EMBMON_BUILD", "build")
EMBMOND = BUILD / "embmond"
EMBMONCTL = BUILD / "embmonctl"
UNDER = os.environ.get("EMBMON_UNDER", "").split()  # what embmond is to run under, valgrind for one
SANITIZED = BUILD == ROOT / "build" / "sanitize"
# For programs that are not ours: curl hangs in setlocale() where ASan is loaded before it.
WITHOUT_PRELOAD = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

TYPES = ["Hello", "Welcome", "Layers", "Heartbeat", "Sample", "Scalar", "StepEnd", "Epoch", "Bye",
         "Ack", "Nack", "Notice", "Wish", "Query", "Reply", "Ids", "Shape"]
NUMBER = {name: i + 1 for i, name in enumerate(TYPES)}
PAYLOAD_MAX = 4 << 20
DEFLATED = 1
TIMEOUT = 20.0  # of a wait for a condition; what is waited for takes milliseconds


def wait_for(condition, what, timeout=TIMEOUT):
    """The first true value of condition()."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(0.01)
    return value


# ---- the wire

def _load_messages():
    with tempfile.NamedTemporaryFile(suffix=".pb") as out:
        subprocess.run(["protoc", f"--descriptor_set_out={out.name}", f"-I{ROOT / 'proto'}",
                        "embmon.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"embmon.{name}"))
            for name in TYPES + ["Layer", "Variable", "Summary", "Threshold", "Ignore", "IdStats"]}


class _Messages:
    """proto.Hello(...) and the rest, made from embmon.proto at first use, once for all threads."""

    _loading = threading.Lock()

    def __getattr__(self, name):
        with self._loading:
            if name not in self.__dict__:
                self.__dict__.update(_load_messages())
        return self.__dict__[name]


proto = _Messages()


def _crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_CRC = list(_crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frame(number, payload, flags=0, version=1, length=None):
    """A frame with any type; length: claimed instead of the true one."""
    head = b"EMBM" + struct.pack("<BBHI", version, flags, number,
                                 len(payload) if length is None else length)
    return head + struct.pack("<I", crc32c(head + payload)) + payload


def encode(message):
    return frame(NUMBER[message.DESCRIPTOR.name], message.SerializeToString())


def summary(values):
    """A Summary of a few plain numbers; each finite non-zero one in its bucket."""
    spans = {True: {}, False: {}}
    finite = [v for v in values if v == v and abs(v) != float("inf")]
    for v in finite:
        if v != 0:
            bits = struct.unpack("<I", struct.pack("<f", abs(v)))[0]
            counts = spans[v < 0]
            counts[bits >> 20] = counts.get(bits >> 20, 0) + 1
    out = proto.Summary(count=len(values), parts=1, zeros=sum(v == 0 for v in finite),
                        nans=sum(v != v for v in values),
                        positive_infinities=sum(v == float("inf") for v in values),
                        negative_infinities=sum(v == -float("inf") for v in values))
    if finite:
        out.min, out.max, out.sum = min(finite), max(finite), sum(finite)
        out.absolute_sum = sum(abs(v) for v in finite)
        out.square_sum = sum(v * v for v in finite)
    for name, counts in (("negative", spans[True]), ("positive", spans[False])):
        if counts:
            first = min(counts)
            setattr(out, f"{name}_first", first)
            getattr(out, f"{name}_counts").extend(
                counts.get(i, 0) for i in range(first, max(counts) + 1))
    return out


class Closed(Exception):
    """The daemon ended the connection."""


class Peer:
    """A connection: sends bytes and messages, receives messages."""

    def __init__(self, path, timeout=TIMEOUT):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))  # may wait for a place in the backlog
        self.socket.settimeout(timeout)
        self.received = b""

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, *messages):
        self.send_bytes(b"".join(encode(message) for message in messages))

    def receive(self):
        """The next message; Closed when there is none."""
        while len(self.received) < 16 or len(self.received) < 16 + self._length():
            try:
                data = self.socket.recv(1 << 16)
            except (ConnectionResetError, BrokenPipeError):
                data = b""
            if not data:
                raise Closed()
            self.received += data
        length = self._length()
        head, payload = self.received[:12], self.received[16:16 + length]
        magic, version, flags, number = struct.unpack_from("<4sBBH", head)
        assert (magic, version, flags) == (b"EMBM", 1, 0)
        assert struct.unpack_from("<I", self.received, 12)[0] == crc32c(head + payload)
        self.received = self.received[16 + length:]
        return getattr(proto, TYPES[number - 1]).FromString(payload)

    def _length(self):
        return struct.unpack_from("<I", self.received, 8)[0]

    def receive_until(self, name):
        """The next message of this type; others are passed over."""
        while (message := self.receive()).DESCRIPTOR.name != name:
            pass
        return message

    def receive_to_end(self):
        """All messages until the daemon closes."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except Closed:
            return messages

    def query(self, name, run="", firing=False):
        """(status, objects or sentence)"""
        self.send(proto.Query(name=name, run=run, firing=firing))
        text = b""
        while not (reply := self.receive_until("Reply")).last:
            text += reply.text
        text = (text + reply.text).decode()
        return reply.status, text if reply.status else [json.loads(x) for x in text.splitlines()]


class Trainer(Peer):
    """A peer that has joined a run and posts to a model of one table and one dense layer."""

    TABLE, DENSE = 1, 2

    def __init__(self, path, name="run", rank=0, world_size=1, session=None, **hello):
        super().__init__(path)
        self.sequence = 0
        self.session = session or os.urandom(16)
        self.send(proto.Hello(protocol_min=1, protocol_max=1, session=self.session, name=name,
                              rank=rank, world_size=world_size, **hello))
        self.welcome = self.receive_until("Welcome")
        self.run = self.welcome.run
        self.declare()

    def declare(self):
        self.send(proto.Layers(layers=[
            proto.Layer(id=self.TABLE, path="tower/embedding", kind=1, trainable=True, rows=100,
                        columns=8, dtype=1),
            proto.Layer(id=self.DENSE, path="tower/dense", kind=2, trainable=True, dtype=1)]))

    def next(self):
        self.sequence += 1
        return self.sequence

    def sample(self, step, values, target=TABLE, signal=1, phase=1):
        return proto.Sample(sequence=self.next(), target=target, signal=signal, phase=phase,
                            step=step, summary=summary(values))

    def scalar(self, step, name, value, phase=1):
        return proto.Scalar(sequence=self.next(), phase=phase, step=step, name=name, value=value)

    def step_end(self, step, posted=1, phase=1):
        return proto.StepEnd(sequence=self.next(), phase=phase, step=step, posted=posted)

    def step(self, *steps, values=(0.5, -0.25, 0.125)):
        """Posts whole steps, in one piece. Where gradients are larger, the loss is, as in trainings."""
        loss = min(1.0, max([abs(v) for v in values if math.isfinite(v)], default=0.5))
        self.send(*(message for step in steps for message in (
            self.sample(step, values), self.sample(step, values, self.DENSE),
            self.scalar(step, "loss", loss), self.step_end(step, 3))))

    def settle(self):
        """Waits until all that was posted is acknowledged or rejected; gives what came else."""
        others, kept = [], 0
        self.send(proto.Heartbeat(hurry=True))
        while kept < self.sequence:
            message = self.receive()
            if message.DESCRIPTOR.name == "Ack":
                kept = message.kept
            elif message.DESCRIPTOR.name != "Heartbeat":
                others.append(message)
        return others

    def bye(self):
        """Gives what came to the end but Acks of what is on the disk now."""
        self.send(proto.Bye())
        return [m for m in self.receive_to_end()
                if m.DESCRIPTOR.name != "Ack" or m.kept != self.sequence]


# ---- processes

class Daemon:
    """An embmond on a socket in a folder of its own."""

    def __init__(self, *options, logdir=None, listen=True, command=(), env=None, start=True,
                 **popen):
        # Not pytest's folder: the path of a socket has at most 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="embmond-test-"))
        self.logdir = pathlib.Path(logdir or self.folder / "runs")
        self.socket = self.folder / "socket"
        self.log_path = self.folder / "log"
        self.arguments = [*UNDER, str(EMBMOND), "--logdir", str(self.logdir)]
        if listen:
            self.arguments += ["--listen", f"unix:{self.socket}"]
        self.arguments += [str(option) for option in options]
        if command:
            self.arguments += ["--", *map(str, command)]
        self.env = os.environ | {"HOME": str(self.folder), "TMPDIR": str(self.folder)} | (env or {})
        for name in ("XDG_RUNTIME_DIR", "EMBMON_ADDRESS", "EMBMON_RUN"):
            if name not in (env or {}):
                self.env.pop(name, None)
        if "LD_PRELOAD" in os.environ and "LD_PRELOAD" in (env or {}):  # sanitizers come first
            self.env["LD_PRELOAD"] = f"{os.environ['LD_PRELOAD']} {env['LD_PRELOAD']}"
        self.popen = popen
        self.process = None
        if start:
            self.start()

    def start(self):
        started = self.log().count("listening on")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.arguments, stderr=log, env=self.env,
                                            **({"stdin": subprocess.DEVNULL} | self.popen))
        if "-q" in self.arguments:
            wait_for(lambda: self.socket.exists() or self.process.poll() is not None, "the socket")
        else:
            wait_for(lambda: self.log().count("listening on") > started
                     or self.process.poll() is not None, "embmond to listen")
        return self

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def lines(self, word):
        return [line for line in self.log().splitlines() if word in line]

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=TIMEOUT):
        return self.process.wait(timeout)

    def stop(self):
        """SIGTERM; its exit status."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def discard(self):
        if self.process and self.alive():
            if UNDER or SANITIZED:  # what is found at its end is to be said
                self.stop()
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.discard()

    def peer(self, **options):
        return Peer(self.socket, **options)

    def trainer(self, name="run", **options):
        return Trainer(self.socket, name, **options)

    def ctl(self, *arguments, timeout=TIMEOUT):
        """embmonctl: CompletedProcess with text."""
        return subprocess.run([str(EMBMONCTL), "--address", f"unix:{self.socket}", *arguments],
                              capture_output=True, text=True, timeout=timeout, check=False)

    def ask(self, *arguments):
        """The objects that embmonctl --json gives."""
        done = self.ctl("--json", *arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def status(self):
        return self.ask("status")[0]

    def alerts_file(self, run="run"):
        path = self.logdir / run / "embmon" / "alerts.jsonl"
        return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []

    def event_files(self, run="run"):
        return sorted((self.logdir / run / "embmon").glob("events.out.tfevents.*"))
