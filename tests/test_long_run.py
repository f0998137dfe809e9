"""100,000 steps of 20 layers: bounded files, a flat embmond, and an alert in the middle whose steps
are recorded one by one."""

import json
import math
import subprocess
import threading

import pytest

import readers
from trainers import (ELEMENTS, NORM, Embmond, assert_in_order, conserve, environment, load,
                      load_command, rss_kib)

STEPS, LAYERS, SICK = 100_000, 20, 50_000
POSTS = LAYERS + 2  # of a step
# An Ack comes once a second. So many posts may wait for it, and each step takes so many
# microseconds: between two Acks embmon's thread is not asked for more than it gets of a busy core.
AT_MOST = ("--in-flight", 40000, "--sleep", 400)
MIB = 1 << 20
HISTOGRAMS, SCALARS, BURST = 64, 512, 64

# Every layer: two histograms; norm with its band and thresholds, rms, non-finite.
TAGS_OF_LAYER = {"histograms": 2, "scalars": 7}
# Framing, wall time, step and the longest tag come to less than this; so does a description.
RECORD_BYTES = {"histograms": 200 + 64 * 24, "scalars": 120}


def ladder(limit, steps):
    """Records of a tag that was fed `steps` times, with no burst."""
    records, stride = 0, 1
    while steps > 0:
        records += min(limit, math.ceil(steps / stride))
        steps -= limit * stride
        stride *= 2
    return records


def most(limit, steps):
    """The bound: O(limit x log steps), whatever happens in between."""
    own = limit * (1 + math.ceil(math.log2(max(1, steps / limit))))
    return own + own + BURST  # a burst's records never exceed the ladder's own plus 64


def watch(process, out, every=0.05):
    """Samples embmond's memory until the event is set."""
    stop = threading.Event()

    def run():
        while not stop.wait(every):
            out.append(rss_kib(process.pid))

    thread = threading.Thread(target=run)
    thread.start()
    return stop, thread


def train(daemon):
    """The run to its end: its counts, and samples of embmond's memory meanwhile."""
    memory = []
    trainer = subprocess.Popen(
        load_command("--steps", STEPS, "--layers", LAYERS, *AT_MOST, "--fault", "nan",
                     "--fault-layer", 3, "--at", SICK),
        env=environment(daemon.address), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stop, thread = watch(daemon.process, memory)
    try:
        out, err = trainer.communicate(timeout=300)
    finally:
        trainer.kill()
        stop.set()
        thread.join()
    assert trainer.returncode == 0, err
    return conserve(json.loads(out.splitlines()[-1])), memory


def check_bounds(run, size):
    bound = LAYERS * (
        TAGS_OF_LAYER["histograms"] * most(HISTOGRAMS, STEPS) * RECORD_BYTES["histograms"] +
        TAGS_OF_LAYER["scalars"] * most(SCALARS, STEPS) * RECORD_BYTES["scalars"])
    assert size < bound < 300 * MIB
    for tag, series in run.histograms.items():
        assert len(series) <= most(HISTOGRAMS, STEPS), tag
    for tag, series in run.scalars.items():
        assert len(series) <= most(SCALARS, STEPS), tag
    for layer in ("layer_00", "layer_19"):  # healthy ones: the ladder alone
        assert len(run.histograms[f"gradients/{layer}"]) == ladder(HISTOGRAMS, STEPS)
        assert len(run.scalars[f"gradient_norm/{layer}"]) == ladder(SCALARS, STEPS)


def check_that_nothing_is_skipped(run):
    for layer in range(LAYERS):
        series = run.histograms[f"gradients/layer_{layer:02d}"]
        nans = 1 if layer == 3 else 0
        assert sum(rows[:, 2].sum() for _, rows in series) == STEPS * ELEMENTS - nans
        assert series[-1][0] == STEPS - 1
    norms = run.scalars["gradient_norm/layer_07"]
    assert [value for _, value in norms] == pytest.approx([NORM] * len(norms), rel=1e-5)


def check_that_embmond_stayed_flat(memory):
    assert len(memory) >= 10
    early = memory[len(memory) // 5]
    assert max(memory[len(memory) // 5:]) <= early + 2048, memory
    assert max(memory) < 64 << 10


def check_the_alert(run, alerts):
    assert [(a["detector"], a["layer"], a["state"], a["step"]) for a in alerts] == [
        ("gradient_nonfinite", "layer_03", "firing", SICK),
        ("gradient_nonfinite", "layer_03", "resolved", SICK + 10)]
    for tag in ("gradients/layer_03", "gradients_log10/layer_03", "gradient_norm/layer_03",
                "nonfinite/layer_03"):
        steps = run.steps(tag)
        at = steps.index(SICK)
        assert steps[at:at + BURST] == list(range(SICK, SICK + BURST)), tag
        assert steps[at - 1] == SICK - 1  # the window before it ends just before it
        assert steps[at + BURST] > SICK + BURST
    assert dict(run.scalars["nonfinite/layer_03"])[SICK] == 1
    assert run.steps("anomaly/layer_03") == list(range(SICK, SICK + 10))
    assert SICK + 1 not in run.steps("gradients/layer_04")


def test_a_run_of_100000_steps_and_20_layers():
    with Embmond() as daemon:
        counts, memory = train(daemon)
        daemon.stop()
        alerts = daemon.alerts_file("load")
        size = sum(path.stat().st_size for path in daemon.event_files("load"))
        run = readers.rust(daemon.logdir)["load/embmon"]
    assert counts["produced"] == STEPS * POSTS
    assert (counts["acked"], counts["rejected"], counts["dropped"]) == (STEPS * POSTS, 0, 0)
    assert_in_order(run)
    check_bounds(run, size)
    check_that_nothing_is_skipped(run)
    check_that_embmond_stayed_flat(memory)
    check_the_alert(run, alerts)


def test_both_readers_show_a_run_of_several_doublings_alike():
    """Smaller: the Python loader takes a minute for the 600,000 records of the long one."""
    with Embmond() as daemon:
        counts, _ = load(daemon.address, "--steps", 5000, *AT_MOST, "--fault", "nan", "--at", 2500)
        assert counts["acked"] == 5000 * 4
        run = daemon.recorded()
    assert len(run.histograms["gradients/layer_01"]) == ladder(HISTOGRAMS, 5000)
    steps = run.steps("gradients/layer_00")
    at = steps.index(2500)
    assert steps[at:at + BURST] == list(range(2500, 2500 + BURST))
