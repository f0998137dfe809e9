"""What TensorBoard's two readers make of a log folder: the Rust data server (the default) and the
Python loader (`--load_fast=false`), both behind the interface that TensorBoard's own pages read.

    runs = readers.both(logdir)                    # fresh, asserts that the readers agree
    runs["a/embmon"].scalars["loss"]               # [(step, value), ...]
    runs["a/embmon"].histograms["gradients/x"]     # [(step, array [k, 3]), ...]
    runs["a/embmon"].texts["alerts/log"]           # [(step, str), ...]

    with readers.Live(logdir) as live:             # opened before, or while, files grow
        live.both()                                # all that was written before this call

Nothing is sampled away: series are returned whole.
"""

import dataclasses
import logging
import math
import os
import re
import subprocess
import tempfile
import threading
import time

import grpc
import numpy as np
import tensorboard_data_server
from tensorboard import context
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.data import grpc_provider

PLUGINS = ("scalars", "histograms", "text")
ALL = 10**9
TIMEOUT = 60.0


@dataclasses.dataclass
class Run:
    scalars: dict = dataclasses.field(default_factory=dict)
    histograms: dict = dataclasses.field(default_factory=dict)
    texts: dict = dataclasses.field(default_factory=dict)
    walls: dict = dataclasses.field(default_factory=dict)  # tag -> [wall time, ...]

    def steps(self, tag):
        for series in (self.scalars, self.histograms, self.texts):
            if tag in series:
                return [step for step, _ in series[tag]]
        return []


def _text(array):
    value = np.asarray(array).item()
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _collect(provider):
    """All series of a provider: {run: Run}."""
    arguments = dict(ctx=context.RequestContext(), experiment_id="", downsample=ALL)
    runs = {run.run_name: Run() for run in provider.list_runs(arguments["ctx"], experiment_id="")}

    def put(found, kind, value):
        for run, tags in found.items():
            for tag, data in tags.items():
                getattr(runs.setdefault(run, Run()), kind)[tag] = [(d.step, value(d)) for d in data]
                runs[run].walls[tag] = [d.wall_time for d in data]

    put(provider.read_scalars(plugin_name="scalars", **arguments), "scalars", lambda d: d.value)
    put(provider.read_tensors(plugin_name="histograms", **arguments), "histograms",
        lambda d: np.asarray(d.numpy).reshape(-1, 3))
    put(provider.read_tensors(plugin_name="text", **arguments), "texts", lambda d: _text(d.numpy))
    return runs


class PythonReader:
    """The Python loader. It only looks when asked to."""

    def __init__(self, logdir):
        self._logdir = str(logdir)
        self._multiplexer = plugin_event_multiplexer.EventMultiplexer(
            tensor_size_guidance={plugin: 0 for plugin in PLUGINS})
        self._provider = data_provider.MultiplexerDataProvider(self._multiplexer, self._logdir)

    def read(self):
        self._multiplexer.AddRunsFromDirectory(self._logdir)
        self._multiplexer.Reload()
        return _collect(self._provider)

    def close(self):
        pass


class RustReader:
    """The Rust data server in a process of its own; read() waits for a load cycle that began after
    the call."""

    def __init__(self, logdir, live=True, reload="1"):
        self._condition = threading.Condition()
        self._started = self._finished = 0
        self._ended = False
        self._log = []
        self._live = live
        with tempfile.TemporaryDirectory() as folder:
            port_file = os.path.join(folder, "port")
            self._process = subprocess.Popen(
                [tensorboard_data_server.server_binary(), "--logdir", str(logdir), "--port", "0",
                 "--port-file", port_file, "--die-after-stdin", "--verbose",
                 "--reload", reload if live else "once",
                 "--samples-per-plugin", ",".join(plugin + "=all" for plugin in PLUGINS)],
                stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
            port = self._wait_for_port(port_file)
        address = "localhost:" + port
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._provider = grpc_provider.GrpcDataProvider(
            address, grpc_provider.make_stub(self._channel))

    def _wait_for_port(self, path):
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            if os.path.exists(path):
                with open(path, encoding="ascii") as stream:
                    text = stream.read()
                if text.endswith("\n"):
                    return text.strip()
            time.sleep(0.02)
        self.close()
        raise RuntimeError("the data server did not start: " + "".join(self._log))

    def _watch(self):
        for line in self._process.stderr:
            with self._condition:
                self._log.append(line)
                if re.search(r"[Ss]tarting load cycle", line):
                    self._started += 1
                elif re.search(r"[Ff]inished load cycle", line):
                    self._finished += 1
                self._condition.notify_all()
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def read(self):
        time.sleep(0.05)  # so that the line of a cycle that has begun already is counted as such
        with self._condition:
            wanted = self._started + 1 if self._live else 1
            fine = self._condition.wait_for(lambda: self._ended or self._finished >= wanted, TIMEOUT)
            if not fine or self._ended:
                raise RuntimeError("the data server did not load: " + "".join(self._log[-20:]))
        return _collect(self._provider)

    def warnings(self):
        """What the server complained about, one string a line."""
        with self._condition:
            return [line.strip() for line in self._log if re.search(r"WARN|ERROR", line)]

    def close(self):
        if hasattr(self, "_channel"):
            self._channel.close()
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(10)
        self._process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _same_value(a, b):
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return a == b


def assert_equal(python, rust):
    """Both readers show the same runs, tags, steps, wall times and values."""
    assert sorted(python) == sorted(rust)
    for name, run in python.items():
        other = rust[name]
        for kind in ("scalars", "histograms", "texts"):
            ours, theirs = getattr(run, kind), getattr(other, kind)
            assert sorted(ours) == sorted(theirs), (name, kind)
            for tag, series in ours.items():
                steps = [step for step, _ in series]
                assert steps == [step for step, _ in theirs[tag]], (name, tag)
                for (step, a), (_, b) in zip(series, theirs[tag]):
                    assert _same_value(a, b), (name, tag, step, a, b)
        assert run.walls == other.walls, name


def python(logdir):
    """What a fresh Python loader shows: {run: Run}."""
    return PythonReader(logdir).read()


def rust(logdir):
    """What a fresh data server shows: {run: Run}."""
    with RustReader(logdir, live=False) as reader:
        return reader.read()


def both(logdir):
    """What both fresh readers show; asserts that they agree."""
    runs = rust(logdir)
    assert_equal(python(logdir), runs)
    return runs


class Live:
    """Both readers, kept open while files grow."""

    def __init__(self, logdir):
        self._python = PythonReader(logdir)
        self._rust = RustReader(logdir)

    def python(self):
        return self._python.read()

    def rust(self):
        return self._rust.read()

    def both(self):
        """What both show of all that was written before this call; asserts that they agree."""
        runs = self._rust.read()
        assert_equal(self._python.read(), runs)
        return runs

    def close(self):
        self._rust.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


logging.getLogger("tensorboard").setLevel(logging.ERROR)
