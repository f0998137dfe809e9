"""One peer keeps the daemon busy, with all that the protocol allows: the others have their turn."""

import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import encode, proto  # noqa: E402
from hostile import beside, layers, with_bytes  # noqa: E402
from trainers import Embmond  # noqa: E402

LAYERS, STEPS = 4000, 300
PATIENCE_S = 10  # of 300 steps of 4,000 layers, each of which is judged


def slowest_answer(daemon, busy):
    """Seconds of the slowest of those that come while the other is busy."""
    slowest = 0
    while busy.is_alive():
        began = time.monotonic()
        with daemon.peer(timeout=60) as peer:
            peer.query("status")
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def test_ends_of_steps_and_epochs_of_thousands_of_layers():
    with Embmond("-q") as daemon, beside(daemon), daemon.trainer("big") as trainer:
        trainer.socket.settimeout(120)
        trainer.send_bytes(layers(layers=[
            with_bytes(proto.Layer(id=10 + i, kind=1, rows=100, columns=4), path=b"layer_%d" % i)
            for i in range(LAYERS)]))

        def flood():
            trainer.send(*(trainer.step_end(step, 0) for step in range(STEPS)),
                         *(proto.Epoch(sequence=trainer.next(), epoch=i, step=STEPS)
                           for i in range(STEPS)))
            answers.extend(trainer.settle())

        answers, began = [], time.monotonic()
        busy = threading.Thread(target=flood)
        busy.start()
        slowest = slowest_answer(daemon, busy)
        busy.join()
        took = time.monotonic() - began
        print(f"{took:.1f} s for {STEPS} steps and epochs; the slowest answer took {slowest:.2f} s")
        assert answers == []
        assert slowest < max(1, took / 4)


def test_shapes_of_thousands_of_variables_of_one_layer():
    """Each is compared with the others; there are 1,024 of them at most."""
    count = 12_000
    with Embmond("-q") as daemon, beside(daemon), daemon.trainer("wide") as trainer:
        trainer.socket.settimeout(120)
        for first in range(0, count, 500):
            trainer.send_bytes(layers(variables=[
                with_bytes(proto.Variable(id=100 + i, layer=trainer.DENSE, shape=[8, 8]), name=b"v%d" % i)
                for i in range(first, first + 500)]))
        shapes = b"".join(encode(proto.Shape(
            sequence=trainer.next(), target=100 + i, phase=1, step=0, role=3, dtype=1, dims=[8, 8]))
            for i in range(count))

        def flood():
            trainer.send_bytes(shapes)
            answers.extend(trainer.settle())

        answers, began = [], time.monotonic()
        busy = threading.Thread(target=flood)
        busy.start()
        slowest = slowest_answer(daemon, busy)
        busy.join()
        print(f"{time.monotonic() - began:.1f} s for {count} shapes; the slowest answer took "
              f"{slowest:.2f} s")
        assert [(m.sequence, m.reason) for m in answers] == [(n, 4) for n in range(1025, count + 1)]
        assert slowest < 1


def test_patterns_that_almost_match_thousands_of_names():
    """256 of them, and the worst there are for 4,000 names of 255 bytes: what is compared is bounded by
    their lengths, not by the product of both."""
    with Embmond("-q") as daemon, beside(daemon), daemon.trainer("globs") as trainer:
        trainer.socket.settimeout(120)
        trainer.send_bytes(layers(layers=[
            with_bytes(proto.Layer(id=10 + i, kind=2), path=b"a" * 250 + b"%04d" % i)
            for i in range(LAYERS)]))
        trainer.send(proto.Layers(thresholds=[
            proto.Threshold(detector="gradient_spike", layers="*?" + "a" * (110 + i // 8) + "b" *
                            (1 + i % 8) + "*", key="layer", value=3) for i in range(256)]))
        trainer.step(0)
        assert trainer.settle() == []
        began = time.monotonic()
        for step in range(1, 4):  # a threshold that moves has all of them looked at again
            trainer.send(proto.Layers(thresholds=[proto.Threshold(
                detector="gradient_spike", layers="*?" + "a" * 110 + "b*", key="layer",
                value=3 + step)]))
            trainer.step(step)
            with daemon.peer(timeout=60) as peer:
                peer.query("status")
        took = (time.monotonic() - began) / 3
        print(f"{took:.2f} s for 256 patterns and {LAYERS} names")
        assert took < 4
        trainer.settle()
