"""make verdicts-c: trains skip-gram 41 times beside embmond, and judges what embmond said.

Ten seeds, each with a rate of its own, healthy and with each fault; and one healthy training of two
ranks. Prints a Markdown table; ends with 1 when a healthy run was flagged or a fault was missed.
"""
import concurrent.futures
import subprocess
import time

from monitored import ROOT, Alerts, Daemon, Record, Verdict, end_with, environment, report, skipgram
import reviews

RATES = {1: 0.1, 2: 0.02, 3: 0.05, 4: 0.2, 5: 0.08, 6: 0.15, 7: 0.03, 8: 0.25, 9: 0.12, 10: 0.06}
STEPS = {"none": 2000, "vanishing": 100, "exploding": 100, "nan": 600}
SHOWN = {"none": "none (healthy)", "vanishing": "vanishing: both tables start at zero",
         "exploding": "exploding: rate 256 times too high", "nan": "nan: mean over a count of zero"}


def train(data, folder, address, name, **options):
    """Trains once, to the end. Returns (run, record)."""
    ranks = options.pop("ranks", 1)
    record = folder / f"{name}.record"
    processes = []
    for rank in range(ranks):
        extra = ("--rank", str(rank), "--world-size", str(ranks))
        path = record if rank == 0 else folder / f"{name}.{rank}.record"
        processes.append(subprocess.Popen(
            skipgram(data, name, path, extra=extra, **options), env=environment(address),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True))
    try:
        for process in processes:
            output = process.communicate()[0]
            if process.returncode != 0:
                raise RuntimeError(f"{name}: the trainer ended with status {process.returncode}")
            if "did not reach a monitor" in output:  # silence would prove nothing
                raise RuntimeError(f"{name}: posts were lost, so this machine cannot judge")
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    print(f"trained {name}", flush=True)
    return name, record


def train_seed(data, folder, address, seed):
    """Trains healthy and with each fault. Returns {fault: (run, record)}."""
    return {fault: train(data, folder, address, f"{fault}-seed-{seed}", fault=fault, steps=steps,
                         seed=seed, rate=RATES[seed])
            for fault, steps in STEPS.items()}


def train_all(data, folder):
    with Daemon(folder / "runs") as daemon:
        pool = concurrent.futures.ThreadPoolExecutor(2)
        try:
            waiting = {seed: pool.submit(train_seed, data, folder, daemon.address, seed)
                       for seed in RATES}
            trained = {seed: future.result() for seed, future in waiting.items()}
        finally:  # after a failure or Ctrl-C, start no more of them
            pool.shutdown(cancel_futures=True)
        ranks = train(data, folder, daemon.address, "two-ranks", steps=STEPS["none"], ranks=2)
        daemon.finish()
    return trained, ranks


def judge(folder, fault, trained, twin=None):
    run, record = trained
    return Verdict(fault, Alerts(folder / "runs", run), Record(record), twin and Record(twin[1]))


def main():
    begin = time.monotonic()
    folder = ROOT / "build" / "verdicts" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    trained, ranks = train_all(reviews.fetch(), folder)
    judged = {SHOWN[fault]: {f"{fault}, seed {seed}, rate {RATES[seed]}":
                             judge(folder, fault, runs[fault], runs["none"])
                             for seed, runs in trained.items()} for fault in STEPS}
    judged["none, two ranks"] = {"two ranks": judge(folder, "none", ranks)}
    return report("fault", judged, begin, folder)


if __name__ == "__main__":
    end_with("verdicts", main)
