"""Crowds: a thousand trainers at once, a million names, a thousand bombs, a thousand who do not read,
and hardly a descriptor. embmond keeps to its memory, and a trainer beside them loses nothing.

    CROWD_SECONDS=20 build/venv/bin/python -m pytest -s tests/faults/test_crowd.py
"""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import BUILD, DEFLATED, NUMBER, Closed, encode, frame, proto, summary, \
    wait_for  # noqa: E402
from hostile import beside, layers, with_bytes  # noqa: E402
from receiver import Receiver, program, sinks, webhook  # noqa: E402
from trainers import Embmond  # noqa: E402

SECONDS = int(os.environ.get("CROWD_SECONDS", 60))
MEMORY_KIB = 384 << 10  # limits.memory_bytes


@pytest.fixture(autouse=True)
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("needs 4,096 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def peak_kib(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def processor_s(daemon):
    fields = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def patient_peer(daemon):
    """One that comes again while too many wait to be let in."""
    for _ in range(1000):
        with contextlib.suppress(BlockingIOError):
            return daemon.peer(timeout=60)
        time.sleep(0.01)
    raise AssertionError("nobody is let in")


def crowd(daemon, *arguments, timeout):
    done = subprocess.run([BUILD / "tools" / "crowd", daemon.socket, *map(str, arguments)],
                          capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(SECONDS + 180)
@pytest.mark.parametrize("runs", [250, 4])
def test_a_thousand_trainers(runs):
    """A step a second of 20 layers each; as 250 runs of 4 ranks, and as 4 runs of 250."""
    with Embmond("-q") as daemon, beside(daemon):
        counts = crowd(daemon, "--clients", 1000, "--runs", runs, "--layers", 20, "--seconds",
                       SECONDS, timeout=SECONDS + 150)
        print(counts, f"{peak_kib(daemon)} KiB at most, {processor_s(daemon):.1f} s of processor")
        assert counts["kept"] == counts["posted"] and counts["lost"] == counts["refused"] == 0
        assert counts["steps"] > 1000 * SECONDS / 2  # it was a crowd
        assert peak_kib(daemon) < MEMORY_KIB
        assert daemon.ctl("status").returncode == 0


@pytest.mark.timeout(300)
def test_a_million_names():
    """A hundred trainers declare 10,000 layers each, and post 10,000 different scalars."""
    refused = taken = turned_away = 0
    with Embmond("-q") as daemon, beside(daemon):
        for number in range(100):
            turned_away += 1
            with contextlib.suppress(Closed), daemon.trainer(f"names{number}") as trainer:
                turned_away -= 1
                for first in range(0, 10_000, 2500):
                    trainer.send_bytes(layers(layers=[
                        with_bytes(proto.Layer(id=10 + i % 5000, kind=2),
                                   path=b"run%d/layer_%d" % (number, i))
                        for i in range(first, first + 2500)]))
                trainer.settle()
                for first in range(0, 10_000, 2500):  # answers are read, or it would be given up
                    trainer.send_bytes(b"".join(encode(trainer.scalar(0, f"scalar_{number}_{i}", 0.5))
                                                for i in range(first, first + 2500)))
                    refused += sum(m.sequence > 0 for m in trainer.settle())
                trainer.send(trainer.step_end(0, 0))
                trainer.settle()
                taken += 1
        limits = daemon.status()["limits"]
        print(f"{taken} trainers, {refused} posts refused, {peak_kib(daemon)} KiB at most,",
              f"{limits['all_layers']['used']} layers,",
              {k: v for k, v in limits.items() if v["refused"]})
        # No run is let in once the memory is used up, which its own trainers and others' hold.
        assert taken + turned_away == 100 and turned_away > 0
        assert taken > 3 and refused > taken * 9000
        assert limits["layers"]["refused"] > 0 and limits["memory_bytes"]["refused"] > turned_away
        assert 20_000 < limits["all_layers"]["used"] <= 65536
        assert MEMORY_KIB / 2 < peak_kib(daemon) < MEMORY_KIB


def bombs():
    """Short on the wire, and long when they are inflated, unpacked, or both."""
    empty = {name: getattr(proto, "Layers").DESCRIPTOR.fields_by_name[name].number << 3 | 2
             for name in ("layers", "variables", "thresholds", "ignores")}
    for tag in empty.values():
        yield frame(NUMBER["Layers"], zlib.compress(bytes([tag, 0]) * (8 << 20), 9), flags=DEFLATED)
        yield frame(NUMBER["Layers"], zlib.compress(bytes([tag, 0]) * (512 << 10), 9), flags=DEFLATED)
    yield frame(NUMBER["Layers"], zlib.compress(bytes(256 << 20), 9), flags=DEFLATED)
    yield frame(NUMBER["Sample"], b"\x08\x01" + b"\x3a\x00" * (1 << 20))
    yield frame(NUMBER["Hello"], zlib.compress(bytes(64 << 20), 9), flags=DEFLATED)


def post_all(trainer, count):
    """All signals of all layers in a step of training, and outputs in one of validation."""
    values = summary((0.5, -0.25))
    for phase, signals in ((1, (1, 2, 3, 4)), (2, (2,))):
        for first in range(0, count, 500):  # answers are read, or it would be given up
            trainer.send(*(proto.Sample(sequence=trainer.next(), target=10 + i, signal=signal,
                                        phase=phase, step=0, summary=values)
                           for i in range(first, first + 500) for signal in signals))
            trainer.settle()
        trainer.send(trainer.step_end(0, 0, phase=phase))
        trainer.settle()


@pytest.mark.timeout(300)
def test_as_many_names_as_there_is_memory_for():
    """Each of them posted to, with all that there is of a layer: what was reserved is enough."""
    with Embmond("-q") as daemon, beside(daemon):
        for number in range(12):
            with contextlib.suppress(Closed), daemon.trainer(f"names{number}") as trainer:
                trainer.socket.settimeout(60)
                for first in (0, 2000):
                    trainer.send_bytes(layers(layers=[
                        with_bytes(proto.Layer(id=10 + i, kind=1, rows=100, columns=8),
                                   path=b"run%d/layer_%d" % (number, i))
                        for i in range(first, first + 2000)]))
                trainer.settle()
                post_all(trainer, 4000)
        limits = daemon.status()["limits"]
        print(f"{limits['all_layers']['used']} layers, {peak_kib(daemon)} KiB at most")
        assert limits["memory_bytes"]["refused"] > 0
        assert 15_000 < limits["all_layers"]["used"]
        assert MEMORY_KIB / 2 < peak_kib(daemon) < MEMORY_KIB


BOMBERS, STRANGERS = 450, 450
PATIENCE_S = 5  # limits.handshake_seconds, and what a client waits for its Welcome


def bombers(daemon, stack):
    """Half of them are members of a run, half have not said a word."""
    for rank in range(BOMBERS):
        yield stack.enter_context(daemon.trainer("bombers", rank=rank, world_size=BOMBERS))
    for _ in range(STRANGERS):
        yield stack.enter_context(patient_peer(daemon))


@pytest.mark.timeout(300)
def test_a_thousand_bombs():
    """All at once; each new trainer that comes meanwhile joins, and has its steps kept, as if nothing
    were the matter."""
    all_bombs = list(bombs())
    print([len(bomb) for bomb in all_bombs])
    with Embmond("-q") as daemon, beside(daemon), contextlib.ExitStack() as stack:
        refused, joins, over = 0, [], threading.Event()
        peers = list(bombers(daemon, stack))

        def join():
            while not over.is_set():
                began = time.monotonic()
                with daemon.trainer(f"new{len(joins)}") as trainer:
                    trainer.step(0)
                    assert trainer.settle() == []
                    joins.append(time.monotonic() - began)

        newcomer = threading.Thread(target=join)
        began = time.monotonic()
        for number, peer in enumerate(peers):
            peer.socket.settimeout(60)
            if number == 1:
                newcomer.start()
            with contextlib.suppress(OSError):
                peer.send_bytes(all_bombs[number % len(all_bombs)] + encode(proto.Bye()))
        for peer in peers:
            refused += any(m.DESCRIPTOR.name == "Nack" for m in peer.receive_to_end())
        took = time.monotonic() - began
        over.set()
        newcomer.join()
        print(f"{took:.1f} s, {refused} of {len(peers)} were refused, {len(joins)} joined meanwhile, "
              f"the slowest took {max(joins):.2f} s; {peak_kib(daemon)} KiB at most")
        assert refused >= BOMBERS  # what strangers are told may be lost with their connection
        assert len(joins) > 3 and max(joins) < PATIENCE_S / 2
        assert peak_kib(daemon) < MEMORY_KIB
        status = daemon.status()
        assert status["invalid_frames"] + status["rejected"] >= refused


@pytest.mark.timeout(300)
def test_a_thousand_who_do_not_read():
    with Embmond("-q") as daemon, beside(daemon):
        with daemon.trainer("big") as trainer:
            trainer.send(proto.Layers(layers=[
                proto.Layer(id=10 + i, path=f"layer_{i}_" + "x" * 200, kind=2) for i in range(4000)]))
            trainer.step(0)
            trainer.settle()
            began = time.monotonic()
            with contextlib.ExitStack() as stack:
                deaf = [stack.enter_context(patient_peer(daemon)) for _ in range(900)]
                for number, peer in enumerate(deaf):
                    peer.socket.setblocking(False)
                    with contextlib.suppress(OSError):
                        peer.send_bytes(encode(proto.Query(name="layers", run="big"))
                                        if number % 30 == 0 else encode(proto.Heartbeat()) * 10_000)
                wait_for(lambda: daemon.ctl("status").returncode == 0, "an answer", 60)
                time.sleep(3)
                held = daemon.status()["limits"]["buffer_bytes"]
                print(f"{time.monotonic() - began:.1f} s, {peak_kib(daemon)} KiB at most, {held}")
                assert held["used"] <= 256 << 20
                trainer.step(1)
                assert trainer.settle() == []
            assert peak_kib(daemon) < MEMORY_KIB


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.timeout(120)
def test_ten_thousand_runs_of_one_name(tmp_path):
    """The next number is found in a few looks at the disk."""
    with Embmond("-q") as daemon:
        for number in range(1, 10_001):
            folder = daemon.logdir / ("often" if number == 1 else f"often-{number}") / "embmon"
            folder.mkdir(parents=True)
            (folder / "alerts.jsonl").write_text("{}\n")  # an empty one is nobody's
        trace = tmp_path / "trace"
        strace = subprocess.Popen(["strace", "-f", "-e", "trace=openat,openat2", "-o", trace, "-p",
                                   str(daemon.process.pid)], stderr=subprocess.PIPE, text=True)
        assert "attached" in strace.stderr.readline()
        try:
            with daemon.trainer("often") as trainer:
                assert trainer.run == "often-10001"
                trainer.step(0)
                trainer.settle()
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()
            strace.stderr.close()
        lines = trace.read_text().splitlines()
        looks = sum("/embmon\"" in line and "often" in line for line in lines)
        print(f"{looks} looks, {len(lines)} files opened in all")
        assert 0 < looks < 120 and len(lines) < 400


class Witness:
    """A program that is told of alerts, and notes which."""

    def __init__(self, folder):
        self.seen = folder / "seen"
        self.program = folder / "witness"
        self.program.write_text(f"#!/bin/sh\ncat >>{self.seen}\n")
        self.program.chmod(0o755)

    def lines(self):
        return self.seen.read_text().splitlines() if self.seen.exists() else []


@pytest.mark.timeout(180)
def test_64_descriptors(tmp_path):
    """Of a daemon that may have 64 all are taken: it neither turns in circles nor dies, the trainer that
    is there loses nothing, its alerts reach programs and webhooks, and others come in once there is
    room."""
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    witness = Witness(tmp_path)
    with contextlib.ExitStack() as stack:
        receivers = [stack.enter_context(Receiver()) for _ in range(4)]
        config = sinks(tmp_path, *(program(witness.program, name=f"program{i}") for i in range(4)),
                       *(webhook(receiver, name=f"hook{i}") for i, receiver in enumerate(receivers)))
        daemon = stack.enter_context(Embmond("-q", "-c", config, preexec_fn=limit))
        trainer = stack.enter_context(beside(daemon))
        sick = stack.enter_context(daemon.trainer("sick"))
        acked = trainer.counts()["acked"]
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(patient_peer(daemon)) for _ in range(200)]
            over = threading.Event()

            def knock():  # and they come again and again
                while not over.wait(0.01):
                    with contextlib.suppress(OSError), daemon.peer() as peer:
                        peer.send_bytes(encode(proto.Hello(
                            protocol_min=1, protocol_max=1, session=os.urandom(16), name="late",
                            world_size=1)))
            knocker = threading.Thread(target=knock)
            knocker.start()
            sick.step(0, values=(float("nan"), 1.0))
            sick.settle()
            wait_for(lambda: len(witness.lines()) >= 4 and all(r.posts for r in receivers),
                     "its alert at every sink", 30)
            assert {json.loads(line)["run"] for line in witness.lines()} == {"sick"}
            began, before = time.monotonic(), processor_s(daemon)
            time.sleep(5)
            share = (processor_s(daemon) - before) / (time.monotonic() - began)
            more = trainer.counts()["acked"] - acked
            over.set()
            knocker.join()
            assert peers
        print(f"{share:.0%} of a processor; {more} posts were kept meanwhile; {peak_kib(daemon)} KiB")
        assert share < 0.3 and more > 0
        assert daemon.lines("another one was refused for want of files (ulimit -n)")
        wait_for(lambda: daemon.ctl("status").returncode == 0, "room again")
        with daemon.trainer("afterwards") as late:
            late.step(0)
            late.settle()
