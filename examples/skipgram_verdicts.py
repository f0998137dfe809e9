"""make verdicts-c: trains skip-gram 41 times beside embmond, and judges what embmond said.

Ten seeds, each with a rate of its own, healthy and with each fault; and one healthy training of two
ranks. Prints a Markdown table; ends with 1 when a healthy run was flagged or a fault was missed.
"""
import concurrent.futures
import statistics
import subprocess
import sys
import time

from monitored import ROOT, Alerts, Daemon, Record, Verdict, environment, skipgram
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


def row(label, verdicts):
    """One line of the Markdown table."""
    good = sum(verdict.ok for verdict in verdicts)
    delays = [verdict.named - verdict.sick for verdict in verdicts
              if verdict.named is not None and verdict.sick is not None]
    spread = f"{min(delays)} / {statistics.median(delays):g} / {max(delays)}" if delays else "-"
    others = ", ".join(sorted({name for verdict in verdicts for name in verdict.others})) or "-"
    return f"| {label} | {good} of {len(verdicts)} | {spread} | {others} |"


def main():
    begin = time.monotonic()
    folder = ROOT / "build" / "verdicts" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    trained, ranks = train_all(reviews.fetch(), folder)
    verdicts = {fault: [judge(folder, fault, runs[fault], runs["none"])
                        for runs in trained.values()] for fault in STEPS}
    verdicts["ranks"] = [judge(folder, "none", ranks)]
    print()
    for fault, of_fault in verdicts.items():
        for seed, verdict in zip(RATES, of_fault):
            name = "two ranks" if fault == "ranks" else f"{fault}, seed {seed}, rate {RATES[seed]}"
            print(f"{'ok  ' if verdict.ok else 'MISS'} {name}: {verdict.text}")
    print()
    print("| fault | right | steps from first sick to alert (min / median / max) | also fired |")
    print("|---|---|---|---|")
    for fault in STEPS:
        print(row(SHOWN[fault], verdicts[fault]))
    print(row("none, two ranks", verdicts["ranks"]))
    print("\nBelow 0: a rate far too high shows in the first update, before norm and loss grew.")
    good = all(verdict.ok for of_fault in verdicts.values() for verdict in of_fault)
    print(f"\n{'All as it must be' if good else 'NOT as it must be'}: "
          f"{time.monotonic() - begin:.0f} s, runs and records in {folder.relative_to(ROOT)}")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        sys.exit(f"verdicts: {error}")
