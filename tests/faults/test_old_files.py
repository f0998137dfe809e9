"""A logdir with a GiB of old event files, in one file or in many: embmond is ready within a second, and
so is the run that has them when embmond was killed. Real records, by our own writer."""

import os
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import readers  # noqa: E402
from harness import BUILD  # noqa: E402
from trainers import Embmond, until  # noqa: E402

GIB = 1 << 30
HISTOGRAM = 1670  # bytes of a record of 64 buckets, nearly
READY = 1.0       # seconds
MANY, ELSEWHERE = 256, 256  # files of the run, and of others


def write(folders, size):
    """A file of `size` bytes in each folder, none of them empty before; they are not of one run."""
    lines = []
    for folder in folders:
        folder.mkdir(parents=True)
        lines += [f"open\t{folder}\t1700000000", f"bench\t{size // HISTOGRAM}", "close"]
    done = subprocess.run([BUILD / "tools" / "events"], input="\n".join(lines) + "\n", text=True,
                          capture_output=True, check=True)
    assert done.stdout.count("histograms/s") == len(folders), done.stdout


def one_large(logdir):
    write([logdir / "load" / "embmon"], GIB)


def many(logdir):
    """Half of them are the run's, the others lie in 16 runs beside it."""
    size = GIB // (MANY + ELSEWHERE)
    parts = [logdir / "part" / str(i) for i in range(MANY + ELSEWHERE)]
    write(parts, size)
    for i, part in enumerate(parts):
        run = "load" if i < MANY else f"other-{i % 16}"
        folder = logdir / run / "embmon"
        folder.mkdir(parents=True, exist_ok=True)
        file = next(part.iterdir())
        file.rename(folder / f"events.out.tfevents.{1700000000 + i:010}.host.1.0")
        part.rmdir()
    (logdir / "part").rmdir()


def size_of(logdir):
    return sum(path.stat().st_size for path in logdir.glob("*/embmon/*tfevents*"))


def timed(do):
    began = time.monotonic()
    done = do()
    return done, time.monotonic() - began


def posts(trainer, first, count):
    trainer.step(*range(first, first + count))
    trainer.settle()


@pytest.mark.parametrize("make", [one_large, many])
def test_ready_within_a_second(make, record_property):
    daemon = Embmond()
    try:
        _, writing = timed(lambda: make(daemon.logdir))
        assert size_of(daemon.logdir) > 0.95 * GIB
        _, ready = timed(daemon.start)
        _, asked = timed(daemon.status)
        # Nothing is kept of the run: the last steps are read from its files.
        trainer, learnt = timed(lambda: daemon.trainer("load", resume=True))
        first = trainer.welcome.next_step
        assert first > 0
        posts(trainer, first, 20)
        until(lambda: daemon.run()["durable"] == 80, "durable")
        daemon.kill()
        trainer.close()
        _, again = timed(daemon.start)
        trainer, welcomed = timed(
            lambda: daemon.trainer("load", session=trainer.session, given="load"))
        assert trainer.welcome.sequence == 80
        trainer.sequence = 80
        _, acked = timed(lambda: posts(trainer, first + 20, 20))
        trainer.bye()
        trainer.close()
        daemon.stop()
        newest = daemon.event_files("load")[-2:]
        assert max(ready, again, asked, welcomed) < READY and acked < 2 * READY
        record_property("figure", f"1 GiB of event files, {make.__name__}: ready in {ready:.2f} s, "
                                  f"after a kill in {again:.2f} s, the run in {welcomed:.2f} s more;"
                                  f" {learnt:.2f} s where nothing is kept of it")
        check(newest, first)
    finally:
        daemon.discard()


def check(files, first):
    """Both embmonds' steps are there once."""
    steps = [step for path in files for step, _ in losses(path)]
    assert steps == list(range(first, first + 40))


def losses(path):
    folder = path.parent / "alone"
    folder.mkdir()
    path.rename(folder / path.name)
    (shown,) = readers.python(folder).values()
    (folder / path.name).rename(path)
    folder.rmdir()
    return shown.scalars.get("loss", [])
