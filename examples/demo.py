"""make demo: skip-gram on the clothing reviews, healthy and with each fault, beside one embmond."""
import os
import queue
import subprocess
import sys
import textwrap
import threading
import time

from monitored import ROOT, Alerts, Daemon, Record, Verdict, end_with, environment, skipgram
import reviews

TRAININGS = (
    # name, --fault, steps, what it is
    ("healthy", "none", 2500, "nothing is wrong"),
    ("vanishing", "vanishing", 300, "both tables start at zero"),
    ("exploding", "exploding", 300, "the learning rate is 256 times too high"),
    ("nan", "nan", 500, "a word alone in its review: the mean over no contexts is 0 / 0"),
)
SEED = 4  # its first lonely word comes at step 55: time to see that all was well before
# What the trainer also prints; alerts are read from alerts.jsonl, which misses none.
HIDDEN = ("ALERT ", "  hint: ", "weights ", "the monitor calls ")
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text=""):
    print(text, flush=True)


def wrapped(text, indent):
    return textwrap.fill(text, width=96, initial_indent=indent, subsequent_indent=indent)


def show_alerts(alerts):
    """Prints what fired since the last call; with its hint, unless it fires again."""
    seen = {(change["detector"], change["layer"]) for change in alerts.all
            if change["state"] == "firing"}
    for change in alerts.new():
        if change["state"] != "firing":
            continue
        layer = change["layer"] or "the model"
        head = f"ALERT {change['severity']}: {change['detector']}, {layer}"
        say("  " + paint("1;31", f"{head}, step {change['step']}"))
        say(wrapped(change["summary"], "    "))
        if (change["detector"], change["layer"]) not in seen:
            say(wrapped("hint: " + change["hint"], "    "))
        seen.add((change["detector"], change["layer"]))


def train(command, address, alerts, hidden):
    """Runs one training to its end, showing the alerts as they come, and its lines but those that
    begin with what is hidden."""
    process = subprocess.Popen(command, env=environment(address), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = queue.SimpleQueue()
    reader = threading.Thread(target=lambda: list(map(lines.put, process.stdout)), daemon=True)
    reader.start()
    try:
        while reader.is_alive() or not lines.empty():
            show_alerts(alerts)
            try:
                line = lines.get(timeout=0.1).rstrip()
            except queue.Empty:
                continue
            if not line.startswith(hidden):
                say("  " + line)
        return process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def demonstrate(data, logdir, stamp):
    """Trains everything; returns [(name, run, verdict)]."""
    records = ROOT / "build" / "demo"
    records.mkdir(parents=True, exist_ok=True)
    trained = []
    with Daemon(logdir) as daemon:
        say(f"embmond writes to {logdir.relative_to(ROOT)}/ what the trainers beside it post")
        for name, fault, steps, what in TRAININGS:
            run = f"demo-{stamp}/{name}"
            say()
            say(paint("1", f"{name}: {what}"))
            alerts = Alerts(logdir, run)
            command = skipgram(data, run, records / f"{name}.record", fault=fault, steps=steps,
                               seed=SEED)
            status = train(command, daemon.address, alerts,
                           HIDDEN if fault == "none" else (*HIDDEN, "near ", "22641 reviews"))
            if status != 0:
                raise RuntimeError(f"the trainer ended with status {status}")
            trained.append((name, run, fault, alerts))
        daemon.finish()
    for _, _, _, alerts in trained:
        show_alerts(alerts)
    twin = Record(records / "healthy.record")
    return [(name, run, Verdict(fault, alerts, Record(records / f"{name}.record"), twin))
            for name, run, fault, alerts in trained]


def conclude(verdicts, logdir, begin):
    """Says how it went and where to look. verdicts: [(name, run, verdict)]. Returns the exit status."""
    say()
    say(paint("1", "Verdicts") + " (the first sick step is from the trainer's own record)")
    for name, _, verdict in verdicts:
        mark = paint("32", "ok  ") if verdict.ok else paint("1;31", "MISS")
        say(f"  {mark} {name:10} {verdict.text}")
    say()
    say("Event files")
    for _, run, _ in verdicts:
        say(f"  {(logdir / run / 'embmon').relative_to(ROOT)}/")
    say()
    say("Look at them, now or while something trains:")
    say("  build/venv/bin/tensorboard --logdir runs")
    say(f"({time.monotonic() - begin:.0f} s)")
    return 0 if all(verdict.ok for _, _, verdict in verdicts) else 1


def main():
    begin = time.monotonic()
    logdir = ROOT / "runs"
    return conclude(demonstrate(reviews.fetch(), logdir, time.strftime("%Y%m%d-%H%M%S")), logdir, begin)


if __name__ == "__main__":
    end_with("demo", main)
