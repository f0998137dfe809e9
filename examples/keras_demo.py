"""make demo: the recommender in Keras, healthy and with three faults, each beside an embmond."""
import pathlib
import queue
import subprocess
import sys
import threading
import time

from demo import conclude, paint, say, wrapped
from keras_judge import Record, Verdict, environment
from monitored import BUILD, ROOT, Alerts, end_with

EXAMPLE = "keras_recommender"
TRAININGS = (
    # name, --fault, its other options, what it is
    ("healthy", "none", ("--epochs", "3"), "nothing is wrong"),
    ("vanishing", "vanishing", ("--steps", "100"), "six sigmoid layers that start small"),
    ("exploding", "exploding", ("--steps", "60"), "SGD at a rate of 100"),
    ("nan", "nan", ("--steps", "250"), "an own loss takes the logarithm of 0"),
)
# What embmond and the callback also print: alerts are read from alerts.jsonl, which misses none.
HIDDEN = ("embmond: ", "    ", "embmon: run ", "  step ")


def show_alerts(alerts, seen):
    """Prints what fired since the last call. seen: the detectors whose hint the run has shown."""
    for change in alerts.new():
        if change["state"] != "firing":
            continue
        phase = "" if change["phase"] == "training" else f" of {change['phase']}"
        head = f"ALERT {change['severity']}: {change['detector']}, {change['layer'] or 'the model'}"
        say("  " + paint("1;31", f"{head}, step {change['step']}{phase}"))
        say(wrapped(change["summary"], "    "))
        if change["detector"] not in seen:
            say(wrapped("hint: " + change["hint"], "    "))
        seen.add(change["detector"])


def train(command, alerts):
    """Runs one training to its end, showing its lines and the alerts as they come."""
    seen = set()
    process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines, everything = queue.SimpleQueue(), []
    reader = threading.Thread(target=lambda: list(map(lines.put, process.stdout)), daemon=True)
    reader.start()
    try:
        while reader.is_alive() or not lines.empty():
            show_alerts(alerts, seen)
            try:
                line = lines.get(timeout=0.1).rstrip()
            except queue.Empty:
                continue
            everything.append(line)
            if not line.startswith(HIDDEN):
                say("  " + line)
        if process.wait() != 0:
            print(*everything, sep="\n", file=sys.stderr)
            raise RuntimeError(f"the trainer ended with status {process.returncode}")
    finally:
        if process.poll() is None:  # embmond ends when its trainer has
            process.terminate()
            process.wait()
    show_alerts(alerts, seen)


def main():
    begin = time.monotonic()
    logdir, stamp = ROOT / "runs", time.strftime("%Y%m%d-%H%M%S")
    records = ROOT / "build" / "demo"
    records.mkdir(parents=True, exist_ok=True)
    short = pathlib.Path(sys.executable).relative_to(ROOT)
    say("MovieLens-100k: 90,000 ratings to learn from, 10,000 to validate; to guess the mean each "
        "time is a loss of 1.27")
    verdicts, twin = [], None
    for name, fault, options, what in TRAININGS:
        run = f"demo-{stamp}/{name}"
        words = [f"examples/{EXAMPLE}.py", "--fault", fault, *options, "--run", run]
        say()
        say(paint("1", f"{name}: {what}"))
        say(f"  $ PYTHONPATH=client/python build/embmond -l runs -- {short} {' '.join(words)}")
        alerts, record = Alerts(logdir, run), records / f"{fault}.record"
        train([BUILD / "embmond", "-q", "-l", logdir, "--", sys.executable, ROOT / words[0],
               *words[1:], "--record", record], alerts)
        twin = twin or Record(record)  # the first one is healthy
        verdicts.append((name, run, Verdict(EXAMPLE, fault, alerts, Record(record), twin)))
        say(f"  -> {verdicts[-1][2].text}")
    return conclude(verdicts, logdir, begin)


if __name__ == "__main__":
    end_with("demo", main)
