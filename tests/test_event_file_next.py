"""Event files that follow one another: readers see one series, whatever happens in between."""

import hashlib
import itertools
import shutil
import time

from tensorboard.backend.event_processing import event_accumulator

import readers
from harness import wait_for
from trainers import ELEMENTS, Embmond, Load, assert_in_order, shown, until

LIMIT = 65536
POSTS = 4  # of a step: two gradients, the loss, the end


def embmond():
    return Embmond().limit(file_bytes=LIMIT)



def grow(daemon, trainer, steps, files):
    """Trains until there are so many files; the last step."""
    last = -1

    def enough():
        nonlocal last
        last = next(steps)
        trainer.steps(last, last)
        time.sleep(0.002)
        return len(daemon.event_files("load")) >= files
    wait_for(enough, f"{files} event files", 60)
    return last


def digests(paths):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def by_file(paths):
    """What tbparse reads: each file by itself, one behind the other."""
    series = {}
    for path in paths:
        one = event_accumulator.EventAccumulator(str(path), size_guidance={
            event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0})
        one.Reload()
        for tag in one.Tags()["tensors"]:
            metadata = one.SummaryMetadata(tag)
            assert metadata.plugin_data.plugin_name in (
                "scalars", "histograms", "text", "custom_scalars"), tag
            series.setdefault(tag, []).extend(event.step for event in one.Tensors(tag))
        for tag in one.Tags()["scalars"]:
            series.setdefault(tag, []).extend(event.step for event in one.Scalars(tag))
    return series


def check(daemon, steps):
    """All steps are there, once and in order, for the readers and file by file."""
    paths = daemon.event_files("load")
    run = shown(daemon.logdir)
    assert run.steps("loss")[:512] == list(range(min(steps, 512)))
    assert run.steps("loss")[-1] == steps - 1
    for layer in ("gradients/layer_00", "gradients/layer_01"):
        assert sum(rows[:, 2].sum() for _, rows in run.histograms[layer]) == steps * ELEMENTS
    single = by_file(paths)
    for tag in ("loss", "gradients/layer_00", "gradient_norm/layer_01"):
        assert single[tag] == run.steps(tag), tag
    return paths


def test_many_files_are_one_series_for_readers_that_watch_them_grow(tmp_path):
    with embmond() as daemon, Load(daemon.address) as trainer:
        trainer.run()
        steps, before = itertools.count(), {}
        with readers.Live(daemon.logdir) as live:
            for files in range(2, 5):
                last = grow(daemon, trainer, steps, files)
                trainer.settle()
                daemon.await_step(last)
                until(lambda: daemon.run()["bytes_pending"] == 0, "the rest on disk")
                run = live.both()["load/embmon"]
                assert_in_order(run)
                assert run.steps("loss")[-1] == last
                paths = daemon.event_files("load")
                now = digests(paths[:-1])
                assert {name: now[name] for name in before} == before  # none is touched again
                before = now
        limit = daemon.status()["limits"]["file_bytes"]
        assert limit["limit"] == LIMIT and limit["refused"] == len(paths) - 1, limit
        trainer.end()
        daemon.stop()
        paths = check(daemon, last + 1)
        assert digests(paths[:len(before)]) == before
        sizes = [path.stat().st_size for path in paths[:-1]]
        assert all(LIMIT <= size < LIMIT + (2 << 20) for size in sizes), sizes
        # Whoever has only the last file knows what its values are.
        (tmp_path / "one").mkdir()
        shutil.copy(paths[-1], tmp_path / "one")
        alone = readers.both(tmp_path)["one"]
        assert alone.steps("gradients/layer_00") and alone.steps("loss")


def test_a_run_goes_on_after_kill_9_however_many_files_it_has():
    with embmond() as daemon, Load(daemon.address, "--close", 20000) as trainer:
        trainer.run()
        steps, last = itertools.count(), 0
        for files in (2, 4, 6):
            last = grow(daemon, trainer, steps, files)
            daemon.kill()
            daemon.start()
            until(lambda: trainer.counts()["connected"], "the reconnect")
        counts = trainer.end()
        assert (counts["acked"], counts["rejected"]) == ((last + 1) * POSTS, 0)
        daemon.stop()
        assert not daemon.lines("of no use"), daemon.log()
        assert len(check(daemon, last + 1)) >= 7


def test_without_a_checkpoint_it_goes_on_behind_the_last_of_many_files():
    with embmond() as daemon, Load(daemon.address, "--close", 20000) as trainer:
        trainer.run()
        steps = itertools.count()
        last = grow(daemon, trainer, steps, 4)
        trainer.settle()
        daemon.await_written(last)
        before = digests(daemon.event_files("load"))
        daemon.kill()
        for name in ("state", "state.durable"):
            (daemon.logdir / "load" / "embmon" / name).unlink()
        daemon.start()
        until(lambda: trainer.counts()["connected"], "the reconnect")
        last = grow(daemon, trainer, steps, 6)
        trainer.end()
        daemon.stop()
        assert daemon.lines("goes on behind its last recorded step")
        paths = daemon.event_files("load")
        assert {name: digests(paths)[name] for name in before} == before
        run = shown(daemon.logdir)
        assert run.steps("loss")[-1] == last
        assert run.steps("loss")[:512] == list(range(min(last + 1, 512)))
