"""What nobody who means well sends: names, bytes of other protocols, folders that change while embmond
works in them; and a trainer beside it that must not notice.

    with Embmond() as daemon, beside(daemon):
        ...                       # asserts at its end that the trainer has lost nothing
"""

import contextlib
import ctypes
import os
import random
import subprocess
import threading
import unicodedata

from harness import NUMBER, Closed, frame, proto
from trainers import Load

TOKEN = "hostile"  # in every name that would be a file somewhere: what to look for afterwards
RUN_PART = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.=+-")
LONGEST_NAME = 255


# ---- names

def _ways_up():
    """As bytes: what fluent-bit and mlflow were attacked with, and its kin."""
    ups = ["..", ".", "./", "../", "/", "//", "///", ".//", "../..", "../" * 20, "..\\", "..;", "....",
           "%2e", "%2e%2e", "%2e%2e%2f", "..%2f", "..%5c", "%252e%252e%252f", "%c0%ae%c0%ae/",
           "%00", ".%00.", "%2e./", ".%2e/", "..%00/", "..%0d/", "..%09/", "..\u2215", "..\uff0f",
           "\uff0e\uff0e/", "\u2024\u2024/", "\u2025/", "file:", "file:///", "file:/../", "file://../",
           "http:", "https://localhost/", "gs://", "s3://", "C:", "C:/", "C:\\", "\\\\host\\", "~/",
           "~root/", "/proc/self/cwd/", "/proc/self/fd/3/", "/dev/shm/", "/tmp/", "a/../", "a/./",
           "a/..//", "a/b/../../../", "?a=../", "#/../../", "?", "#", "#/../", "a#/../../",
           ".git/", ".ssh/", "-", "--", "=", "+", "-rf ", "*", "a*", "$HOME/", "${HOME}/", "$(id)",
           "`id`", ";id;", "|id", "&&id", ">", "<", "{{7*7}}", "${jndi:ldap://a}", "%s%s%n", "%n",
           "' or 1=1 --", "<script>", "[x](javascript:0)", "\ufeff", "\u202e", "\u200b", "\u2028",
           "\u2029", "\u00a0", "\u0085", "caf\u00e9/", "\U0001f600"]
    for up in ups:
        yield (up + TOKEN).encode()
    for last in ("/..", "/.", "/", "//", "/../", "/../x", " ", "/ ", " /x", "\\..\\x", "%2e", "/%2e%2e",
                 "\u202e", "/-x", "/.x", "/=x", "/+x", "/x y", "/x/", ":x", "?x", "#x", "*", "~"):
        yield (TOKEN + last).encode()


def _control_characters():
    for c in [*range(0x20), 0x7f]:
        yield TOKEN.encode() + bytes([c])
        yield bytes([c]) + TOKEN.encode()
        yield TOKEN.encode() + bytes([c]) + b"/../x"
    for c in range(0x80, 0xa0):
        yield f"{TOKEN}{chr(c)}x".encode()


def _not_utf8():
    token = TOKEN.encode()
    for bad in (b"\xc0\xae\xc0\xae/", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xae", b"\xe0\x80\xaf",
                b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80",
                b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
                b"\xfe", b"\xff", b"\x80", b"\xbf", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3("):
        yield bad + token
        yield token + bad
        yield token + b"/" + bad


def _too_long():
    token = TOKEN.encode()
    yield b""
    yield token + b"x" * (4096 - len(token))
    yield token + b"x" * (65536 - len(token))
    yield (b"x" * 100 + b"/") * 6 + token  # 612 bytes
    yield b"x" * 129
    yield b"x/" * 8 + token  # nine parts
    yield b"x/" * 2048 + token
    yield b"../" * 2048 + token
    yield "\u00e9".encode() * 2048


def _punctuation():
    for c in range(0x21, 0x7f):
        if c not in RUN_PART and c != ord("/"):
            yield TOKEN.encode() + bytes([c]) + b"x"
            yield bytes([c]) + TOKEN.encode()


def names():
    """Some 400; none of them may be a run's."""
    return list(dict.fromkeys([*_ways_up(), *_control_characters(), *_not_utf8(), *_too_long(),
                               *_punctuation()]))


# Odd, and as good as any other: a folder of just this name.
ODD_RUNS = [TOKEN + "..", TOKEN + ".", TOKEN + "...x", "_" + TOKEN, TOKEN + "/x..", "0", "CON", TOKEN + "=+-.", "x" * 128, "/".join(["d" * 60] * 8)]


def is_path(name):
    """What docs/PROTOCOL.md says of paths and names of layers, variables and scalars."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return False
    return (0 < len(name) <= LONGEST_NAME and not text.startswith("/") and not text.endswith("/")
            and "//" not in text
            and not any(unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cf") for c in text))


def varint(value):
    out = b""
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def with_bytes(message, **fields):
    """The message's payload, and these fields as bytes, whatever they hold."""
    out = message.SerializeToString()
    for name, value in fields.items():
        number = message.DESCRIPTOR.fields_by_name[name].number
        out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def hello(**fields):
    """A Hello's frame; name, given and key as bytes."""
    return frame(NUMBER["Hello"], with_bytes(
        proto.Hello(protocol_min=1, protocol_max=1, session=os.urandom(16), world_size=1), **fields))


def must_refuse(peer, data):
    """The daemon says why, and closes."""
    peer.send_bytes(data)
    said = peer.receive_to_end()
    assert [m.DESCRIPTOR.name for m in said] == ["Nack"] and said[0].reason == 5, (data[:80], said)


def refuse_runs(daemon, hostile):
    for name in hostile:
        for data in hello(name=name), hello(name=b"good", given=name or b"/"):
            with daemon.peer() as peer:
                must_refuse(peer, data)


def layers(**parts):
    """The frame of a Layers with these lists of payloads."""
    return frame(NUMBER["Layers"], b"".join(
        with_bytes(proto.Layers(), **{name: part}) for name, list_ in parts.items()
        for part in list_))


def _ids(trainer, name):
    return frame(NUMBER["Ids"], with_bytes(proto.Ids(
        sequence=trainer.next(), target=trainer.TABLE, phase=1, step=0, dtype=8,
        stats=proto.IdStats(count=1, unique=1)), input=name))


def _scalar(trainer, name):
    return frame(NUMBER["Scalar"], with_bytes(trainer.scalar(0, "", 0.5), name=name))


def post_names(daemon, hostile, run):
    """Declares a layer and a variable of each name that is one, and posts to them, a scalar and ids of
    an input of that name. All is taken; gives these names."""
    good = [name for name in hostile if is_path(name)]
    with daemon.trainer(run) as trainer:
        trainer.send_bytes(layers(
            layers=[with_bytes(proto.Layer(id=1000 + i, kind=2), path=name)
                    for i, name in enumerate(good)],
            variables=[with_bytes(proto.Variable(id=5000 + i, layer=trainer.DENSE), name=name)
                       for i, name in enumerate(good)]))
        trainer.send(*(trainer.sample(0, [0.5, 0.25], target=first + i)
                       for i in range(len(good)) for first in (1000, 5000)))
        for name in good:
            trainer.send_bytes(_scalar(trainer, name) + _ids(trainer, name))
        trainer.send(trainer.step_end(0, trainer.sequence))
        assert trainer.settle() == []
        trainer.bye()
    return good


def refuse_posts(daemon, hostile, run):
    """A post of a name that is none gets a Nack, and the connection goes on; a declaration ends it."""
    bad = [name for name in hostile if name and not is_path(name)]
    with daemon.trainer(run) as trainer:
        for name in bad:
            trainer.send_bytes(_scalar(trainer, name) + _ids(trainer, name))
        nacks = trainer.settle()
        assert [(m.sequence, m.reason) for m in nacks] == [(n, 1) for n in range(1, 1 + 2 * len(bad))]
    for name in bad:
        for data in (layers(layers=[with_bytes(proto.Layer(id=1), path=name)]),
                     layers(variables=[with_bytes(proto.Variable(id=9, layer=1), name=name)])):
            with daemon.trainer(run + "-declares", resume=True) as trainer:
                must_refuse(trainer, data)


# ---- other protocols

def strangers(chance):
    """What comes to a port that is open: one of these."""
    return chance.choice([
        lambda: f"{chance.choice(HTTP_VERBS)} /{TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        lambda: CLIENT_HELLO + chance.randbytes(500),
        lambda: b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        lambda: b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
        lambda: b"\x00\x00\x00\x2d\xffSMB" + chance.randbytes(60),
        lambda: b"EHLO localhost\r\n",
        lambda: b"\x10\x1e\x00\x04MQTT\x04\x02\x00\x3c" + chance.randbytes(18),
        lambda: b"stats\r\n",
        lambda: b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        lambda: chance.randbytes(chance.randrange(1, 5000)),
        lambda: bytes(chance.randrange(1, 5000)),
        lambda: b"",
        lambda: b"EMB" + chance.randbytes(40),
        lambda: b"EMBM" + chance.randbytes(chance.randrange(1, 200)),
        lambda: frame(chance.randrange(65536), chance.randbytes(chance.randrange(300))),
        lambda: frame(NUMBER[chance.choice(list(NUMBER))], chance.randbytes(chance.randrange(300))),
        lambda: frame(NUMBER["Hello"], b"", length=4 << 20),
    ])()


HTTP_VERBS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
              "PROPFIND", "BREW"]
CLIENT_HELLO = bytes.fromhex("16030102000100" "01fc0303")


def knock(connect, count, seed):
    """So many strangers, one after the other; connect(number) gives each a socket."""
    chance = random.Random(seed)
    for number in range(count):
        with contextlib.suppress(OSError), connect(number) as sock:
            sock.sendall(strangers(chance))
            if chance.random() < 0.5:
                sock.settimeout(0.05)
                sock.recv(1 << 16)


# ---- folders that change

def exchange(folder, one, other):
    """renameat2(RENAME_EXCHANGE) of two names in an open folder. False: one is missing."""
    call = ctypes.CDLL(None, use_errno=True).renameat2
    return call(folder, os.fsencode(one), folder, os.fsencode(other), 2) == 0


@contextlib.contextmanager
def opened(name, folder=None):
    """Never through a link: who swaps must not be led astray by his own."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


class Swapper:
    """Puts links where embmond expects a run's folder and files, and takes them away again, as fast as
    it can, until the end of the context. They lead to a folder and files that it must not touch."""

    FILES = ("alerts.jsonl", "state", "state.new", "state.sync", "state.durable")

    def __init__(self, logdir, run, victim):
        self.run, self.victim, self.swaps = logdir / run, victim, 0
        victim.mkdir()
        for name in (*self.FILES, "embmon"):
            (victim / name).write_text("not yours")
        (victim / "folder").mkdir()
        self.before = self.seen()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._again, args=(work,), daemon=True)
                        for work in (self._swap_run, self._swap_folder, self._swap_files)]

    def seen(self):
        """All that is in the victim, and when it was changed last."""
        return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_nlink,
                       path.read_bytes() if path.is_file() else b"")
                      for path in [self.victim, *self.victim.rglob("*")])

    def _again(self, work):
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                work()
                self.swaps += 1

    def _swap(self, folder, name, target):
        with contextlib.suppress(FileExistsError):
            os.symlink(target, name + "-link", dir_fd=folder)
        if exchange(folder, name, name + "-link"):
            exchange(folder, name, name + "-link")
        else:  # it is not there yet
            os.symlink(target, name, dir_fd=folder)
            os.unlink(name, dir_fd=folder)

    def _swap_run(self):
        with opened(self.run.parent) as logdir:
            self._swap(logdir, self.run.name, self.victim)

    def _swap_folder(self):
        with opened(self.run) as run:
            self._swap(run, "embmon", self.victim / "folder")

    def _swap_files(self):
        with opened(self.run) as run, opened("embmon", run) as folder:
            for name in self.FILES:
                with contextlib.suppress(OSError):
                    self._swap(folder, name, self.victim / name)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def train_in(daemon, run):
    """One training that resumes the run, and is flagged, as far as it is let. True: it was welcomed."""
    welcomed = False
    with contextlib.suppress(Closed, OSError, TimeoutError), \
            daemon.trainer(run, resume=True) as trainer:
        welcomed = True
        trainer.socket.settimeout(1.5)  # whoever takes away a checkpoint keeps its Ack away, too
        trainer.step(trainer.welcome.next_step, values=(float("nan"), 1.0))
        trainer.settle()
        trainer.bye()
    return welcomed


# ---- and beside it

@contextlib.contextmanager
def beside(daemon, run="beside", pause_s=0.02, **environment):
    """A trainer of libembmon that posts all the while; at the end nothing of it is lost."""
    over, steps = threading.Event(), [0]
    with Load(daemon.address, run=run, **environment) as trainer:
        trainer.run()

        def post():
            while not over.is_set():
                trainer.steps(steps[0], steps[0])
                steps[0] += 1
                over.wait(pause_s)
        thread = threading.Thread(target=post)
        thread.start()
        try:
            yield trainer
        finally:
            over.set()
            thread.join()
        counts = trainer.settle()
        assert counts["acked"] == counts["produced"] == 4 * steps[0] > 0, counts
        assert counts["reconnects"] == counts["dropped"] == counts["rejected"] == 0, counts
        assert trainer.end()["in_flight"] == 0


def left_outside(daemon):
    """What lies in the daemon's own folder and its working directory beside what belongs there."""
    mine = {daemon.logdir, daemon.socket, daemon.log_path,
            daemon.socket.with_name(daemon.socket.name + ".lock")}
    return [path for path in daemon.folder.iterdir() if path not in mine]


def found_since(marker, but):
    """Whatever on this machine has the token in its name and is newer than the marker, but below the
    folder."""
    done = subprocess.run(
        ["find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/sys", "-o", "-path", but, ")",
         "-prune", "-o", "-newer", str(marker), "-name", f"*{TOKEN}*", "-print"],
        capture_output=True, text=True, check=False, timeout=300)
    return [path for path in done.stdout.splitlines() if not path.endswith((".py", ".pyc"))]
