"""make verdicts-keras: trains each Keras example 50 times beside embmond, ten seeds healthy
and with each fault, in two processes; judges what embmond said.

Prints a Markdown table; ends with 1 when a healthy run was flagged or a fault was missed.
"""
import queue
import shlex
import subprocess
import sys
import threading
import time

from keras_judge import Record, Verdict, environment
from monitored import ROOT, Alerts, Daemon, end_with, report

FAULTS = ("none", "vanishing", "exploding", "diverging", "nan")
# seed: optimizer, batch, rate for each example, steps of the healthy run
SEEDS = {
    1: ("adam", 32, {"keras_recommender": 0.001, "keras_sentiment": 0.001}, 1500),
    2: ("sgd", 32, {"keras_recommender": 0.1, "keras_sentiment": 0.1}, 1500),
    3: ("adam", 64, {"keras_recommender": 0.002, "keras_sentiment": 0.002}, 1000),
    4: ("sgd", 128, {"keras_recommender": 0.1, "keras_sentiment": 0.3}, 800),
    5: ("adam", 256, {"keras_recommender": 0.001, "keras_sentiment": 0.002}, 600),
    6: ("sgd", 256, {"keras_recommender": 0.2, "keras_sentiment": 0.5}, 600),
    7: ("adam", 1024, {"keras_recommender": 0.002, "keras_sentiment": 0.003}, 300),
    8: ("sgd", 1024, {"keras_recommender": 0.3, "keras_sentiment": 1.0}, 300),
    9: ("adam", 4096, {"keras_recommender": 0.004, "keras_sentiment": 0.005}, 200),
    10: ("sgd", 4096, {"keras_recommender": 0.4, "keras_sentiment": 0.5}, 300),
}
STEPS = {"vanishing": 60, "exploding": 60, "diverging": 60}  # the others as long as the healthy one
SHOWN = {"none": "none (healthy)", "vanishing": "vanishing: six sigmoid layers that start small",
         "exploding": "exploding: SGD at rate 100", "diverging": "diverging: Adam at rate 1",
         "nan": "nan: log of 0 in an own loss"}
EXAMPLES = ("keras_recommender", "keras_sentiment")


def name(example, fault, seed):
    return f"{example.removeprefix('keras_')}-{fault}-{seed}"


def command(example, fault, seed, folder):
    """A line for keras_runs.py."""
    optimizer, batch, rates, steps = SEEDS[seed]
    run = name(example, fault, seed)
    words = (example, "--fault", fault, "--seed", seed, "--optimizer", optimizer, "--batch", batch,
             "--rate", rates[example], "--steps", STEPS.get(fault, steps), "--run", run,
             "--record", folder / f"{run}.record")
    return " ".join(shlex.quote(str(word)) for word in words)


def work(waiting, address, log, failed):
    """One process that trains what is waiting, until nothing is."""
    with subprocess.Popen([sys.executable, str(ROOT / "examples" / "keras_runs.py")],
                          env=environment(address, threads=1), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            while not failed:
                line = waiting.get_nowait()
                print(line, file=process.stdin, flush=True)
                for said in process.stdout:
                    if said.startswith("trained "):
                        print(said, end="", flush=True)
                        break
                else:
                    failed.append(f"{line}: the trainer ended with status {process.wait()}: see "
                                  f"{log.name}")
        except queue.Empty:
            process.stdin.close()
        finally:
            if failed:
                process.kill()


def train_all(folder, examples, seeds):
    waiting = queue.SimpleQueue()
    for seed in seeds:
        for example in examples:
            for fault in FAULTS:
                waiting.put(command(example, fault, seed, folder))
    failed = []
    with Daemon(folder / "runs") as daemon, open(folder / "trainers.log", "w") as log:
        workers = [threading.Thread(target=work, args=(waiting, daemon.address, log, failed))
                   for _ in range(2)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except BaseException:  # Ctrl-C: the trainers have it too
            failed.append("interrupted")
            raise
        if failed:
            raise RuntimeError(failed[0])
        daemon.finish()


def judge(folder, example, fault, seed):
    def record(of):
        return Record(folder / f"{name(example, of, seed)}.record")
    alerts = Alerts(folder / "runs", name(example, fault, seed))
    return Verdict(example, fault, alerts, record(fault), record("none"))


def main():
    begin = time.monotonic()
    folder = ROOT / "build" / "verdicts" / time.strftime("keras-%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    train_all(folder, EXAMPLES, SEEDS)
    judged = {}
    for example in EXAMPLES:
        for fault in FAULTS:
            judged[f"{example.removeprefix('keras_')}, {SHOWN[fault]}"] = of_fault = {}
            for seed, (optimizer, batch, rates, _) in SEEDS.items():
                what = f"{example} {fault}, seed {seed}, {optimizer} {rates[example]}, batch {batch}"
                of_fault[what] = judge(folder, example, fault, seed)
    return report("example, fault", judged, begin, folder)


if __name__ == "__main__":
    end_with("verdicts", main)
