"""How much embmond takes in, writes and keeps, beside what bounds it and what others do, in one run.

    make bench [ONLY=ingest|events|latency|growth]     five minutes; make bench-quick: half of one

Contestants of a table take turns, so that what else the machine does hits them alike; a figure is the
least of its rounds and, behind it, their median, as CPU time of the daemon wherever that is what is
asked. The ceilings are the machine's own: who only reads a socket and adds up what came, write()
alone, memcpy() alone. docs/PERFORMANCE.md says how to read all this.

Prints Markdown, and at its end the goals with what was measured. A goal that is missed changes
nothing about the exit status.
"""
import argparse
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import harness  # noqa: E402
from goals import Goals, figure, processor  # noqa: E402

BENCH = harness.BUILD / "bench"
GOALS = Goals()


def table(title, head, rows):
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def cpu_seconds(pid):
    """Of all threads, in nanoseconds' steps."""
    return 1e-9 * sum(int(task.read_text().split()[0])
                      for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def rss_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def pinned(cpu, *command):
    """The command on one of the processors, where there are several."""
    cpus = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cpus[cpu % len(cpus)]), *map(str, command)]


# ---- ingest

class Flood:
    """tests/bench/flood.c, on a processor of its own."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(pinned(0, BENCH / "flood", *arguments), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def await_line(self, word):
        line = self.process.stdout.readline().split()
        assert line and line[0] == word, (line, word)
        return float(line[1])

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()


class Pinned(harness.Daemon):
    def __init__(self, *options):
        super().__init__(*options, start=False)
        self.arguments = pinned(1, *self.arguments)
        self.start()


def flood(connections, layers, warm, steps):
    """Summaries a CPU-second of embmond's, and a second of the clock; its MiB at the end."""
    with Pinned("-q") as daemon:
        trainer = Flood(daemon.socket, connections, layers, warm, steps)
        trainer.await_line("warm")
        before = cpu_seconds(daemon.process.pid)
        trainer.go_on()
        seconds = trainer.await_line("done")
        spent = cpu_seconds(daemon.process.pid) - before
        memory = rss_mib(daemon.process.pid)
        trainer.go_on()
        trainer.process.wait()
    summaries = connections * layers * steps
    return summaries / spent, summaries / seconds, memory


def sink(layers, steps):
    """The same for who only reads and adds up."""
    with tempfile.TemporaryDirectory(prefix="embmon-bench-") as folder:
        path = pathlib.Path(folder) / "socket"
        reader = subprocess.Popen(pinned(1, BENCH / "flood", "--sink", path), text=True,
                                  stdout=subprocess.PIPE)
        assert reader.stdout.readline() == "listening\n"
        trainer = Flood("--deaf", path, layers, steps)
        trainer.await_line("done")
        trainer.go_on()
        trainer.process.wait()
        spent, size, _ = reader.communicate()[0].split()
    return layers * steps / float(spent), float(size) / (layers * steps)


def ingest(quick):
    layers, crowd, crowd_layers = 100, 1000, 10
    warm, (steps, crowd_steps, rounds) = 8192, (2000, 15, 2) if quick else (8000, 60, 5)
    one_name = f"one connection, 100 layers, after {warm:,} steps"
    names = {one_name: lambda: flood(1, layers, warm, steps),
             "the same, its first 64 steps": lambda: flood(1, layers, 0, 64),
             "1,000 ranks of one run, 10 layers": lambda: flood(crowd, crowd_layers, 5, crowd_steps)}
    found = {name: [] for name in names}
    ceiling = []
    for _ in range(rounds):
        for name, call in names.items():
            found[name].append(call())
        ceiling.append(sink(layers, steps))
    top = max(rate for rate, _ in ceiling)
    rows = [[f"who only reads and adds up the same {ceiling[0][1]:.0f} bytes a summary", figure(top / 1e6),
             figure(statistics.median(r for r, _ in ceiling) / 1e6), "", "1.00", ""]]
    for name, values in found.items():
        best = max(value[0] for value in values)
        rows.append([name, figure(best / 1e6),
                     figure(statistics.median(value[0] for value in values) / 1e6),
                     figure(max(value[1] for value in values) / 1e6), figure(best / top),
                     f"{values[-1][2]:.0f}"])
    table("Summaries of 64 buckets taken in over a Unix socket: decoded, merged, judged, recorded",
          ["", "million a CPU-second of the daemon", "median", "million a second", "÷ only reading",
           "MiB"], rows)
    one, many = (found[name] for name in (one_name, "1,000 ranks of one run, 10 layers"))
    GOALS.add_all("summaries a CPU-second, one connection", 1.5, "million", [v[0] / 1e6 for v in one])
    GOALS.add_all("the same, 1,000 connections", 0.75, "million", [v[0] / 1e6 for v in many])


# ---- event files

def torch_writer(folder, count):
    """Seconds for each histogram of PyTorch's writer, from ready-made buckets."""
    import numpy
    from torch.utils.tensorboard import SummaryWriter

    values = numpy.random.default_rng(1).normal(0, 1e-2, 1000)
    counts, edges = numpy.histogram(values, 64)
    raw = {"min": values.min(), "max": values.max(), "num": values.size, "sum": values.sum(),
           "sum_squares": (values * values).sum(), "bucket_limits": edges[1:].tolist(),
           "bucket_counts": counts.tolist()}
    writer = SummaryWriter(folder)
    start = time.perf_counter()
    for step in range(count):
        writer.add_histogram_raw("gradients/tower/dense/kernel", global_step=step, **raw)
    writer.close()
    return (time.perf_counter() - start) / count


def events(quick):
    count, peer_count, rounds = (30000, 500, 3) if quick else (60000, 3000, 9)
    ours, raw, copy, peer = [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="embmon-bench-") as folder:
            done = subprocess.run([BENCH / "events", folder, str(count)], check=True, text=True,
                                  stdout=subprocess.PIPE)
            seconds = [float(x) for x in done.stdout.split()]
            size = seconds.pop() / count
            for values, value in zip((ours, raw, copy), seconds):
                values.append(value / count)
        try:
            with tempfile.TemporaryDirectory(prefix="embmon-bench-") as folder:
                peer.append(torch_writer(folder, peer_count))
        except ImportError:
            print("torch is not installed: left out", file=sys.stderr)
    rows = [[name, f"{1e9 * min(values):.0f}", f"{1e9 * statistics.median(values):.0f}",
             figure(1e-6 / min(values)), figure(min(values) / min(raw))]
            for name, values in (("memcpy() of as many bytes", copy), ("write() of as many bytes", raw),
                                 ("event_file_histogram()", ours),
                                 ("torch SummaryWriter.add_histogram_raw()", peer)) if values]
    table(f"An event file's histogram of 64 buckets, {size:.0f} bytes, to the page cache",
          ["", "least, ns", "median, ns", "million a second", "÷ write()"], rows)
    GOALS.add_all("histograms written a second", 1, "million", [1e-6 / value for value in ours])
    if peer:
        GOALS.add("histograms a second ÷ torch's add_histogram_raw()", 200, "×",
                  min(peer) / min(ours), statistics.median(peer) / statistics.median(ours))


# ---- from a post to TensorBoard

def wait_for_tags(reader, step, posted, tags, found, patience=30):
    """Asks the data server until all tags have this step; notes when each first had."""
    from tensorboard import context

    missing = set(tags)
    while missing:
        listing = reader._provider.list_tensors(context.RequestContext(), experiment_id="",
                                                plugin_name="histograms")
        now = time.perf_counter()
        shown = listing.get("load/embmon", {})
        for tag in [t for t in missing if t in shown and shown[t].max_step >= step]:
            missing.remove(tag)
            found.append(now - posted)
        assert now - posted < patience, f"step {step}: {len(missing)} tags do not come"


def latency(quick):
    import readers
    import trainers

    layers, steps = 1000, 10 if quick else 40  # windows are one step long up to step 64
    tags = [f"gradients/layer_{layer:02d}" for layer in range(layers)]
    found, worst = [], []
    with trainers.Embmond() as daemon, \
            trainers.Load(daemon.address, "--layers", layers) as trainer:
        trainer.steps(0, 0)
        daemon.await_step(0)
        with readers.RustReader(daemon.logdir, reload="0") as reader:
            wait_for_tags(reader, 0, time.perf_counter(), tags, [])
            for step in range(1, steps + 1):
                posted = time.perf_counter()
                trainer.steps(step, step)
                before = len(found)
                wait_for_tags(reader, step, posted, tags, found)
                worst.append(max(found[before:]))
    ordered = sorted(found)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    rows = [["a tag of a step", f"{1e3 * statistics.median(ordered):.0f}", f"{1e3 * p99:.0f}",
             f"{1e3 * ordered[-1]:.0f}"],
            ["the last tag of a step", f"{1e3 * statistics.median(worst):.0f}", "",
             f"{1e3 * max(worst):.0f}"]]
    table(f"From the first post of a step to TensorBoard's data server, which looks all the time: "
          f"{layers} layers, {steps} steps, each window one step",
          ["", "median, ms", "99 of 100, ms", "most, ms"], rows)
    GOALS.add_all("post to readable, 99 of 100, 1,000 layers a step", 1, "s", [p99], at_most=True)


# ---- a million steps

def growth(quick):
    steps = 10**4 if quick else 10**6
    with tempfile.TemporaryDirectory(prefix="embmon-bench-") as folder:
        done = subprocess.run([harness.BUILD / "tools" / "growth", folder, "100", str(steps)], check=True, text=True,
                              stdout=subprocess.PIPE)
    lines = [line.split() for line in done.stdout.splitlines()]
    end = lines.pop()
    rows = [[f"{int(step):,}", f"{int(ns) / 1000:.1f}", f"{int(size) / 1e6:.1f}", f"{int(rss) / 1024:.1f}"]
            for step, ns, size, rss in lines]
    table("A long training of 100 layers, simulated time: what a step costs since the line before, what "
          "lies on the disk, what is in memory (all of the daemon but its sockets)",
          ["steps", "CPU µs a step", "event files, MB", "resident, MiB"], rows)
    late = [line for line in lines if int(line[0]) >= 10**4]
    GOALS.add_all(f"event files after {steps:,} steps of 100 layers", 0.7, "GB", [int(end[2]) / 1e9], at_most=True)
    if len(late) > 1:
        memory = [int(line[3]) for line in late]
        costs = [int(line[1]) for line in late]
        GOALS.add_all("resident memory, most ÷ least after 10^4 steps", 1.02, "", [max(memory) / min(memory)],
             at_most=True)
        GOALS.add_all("cost of a step, last ÷ at 10^4 steps", 1.1, "", [costs[-1] / costs[0]], at_most=True)


PARTS = {"ingest": ingest, "events": events, "latency": latency, "growth": growth}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter runs")
    parser.add_argument("--keep", help="a folder for what goals.py shows")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="these alone")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"\nembmond on {len(os.sched_getaffinity(0))} processors of {processor()}, load {load:.1f}")
    for name in options.parts or PARTS:
        PARTS[name](options.quick)
    GOALS.end("daemon", options.keep)


if __name__ == "__main__":
    main()
