"""make verdicts: trains well and badly beside embmond, and says how often it was right.

Ends with 1 when a fault was missed or named late, when there was a false alarm, or when a training
was not what it was meant to be.
"""
import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]

import verdicts.catalog as catalog  # noqa: E402
import verdicts.judge as judge  # noqa: E402
import verdicts.table as table  # noqa: E402
from keras_judge import environment  # noqa: E402
from monitored import BUILD, Alerts, Daemon  # noqa: E402

WORKERS = 2
TOO_LONG = 900  # seconds, for one training
A_WORKERS_LIFE = 40  # trainings: TensorFlow keeps something of each


def known_detectors():
    return subprocess.run([BUILD / "tools" / "detectors"], check=True, capture_output=True,
                          text=True).stdout.split()


class Progress:
    """What is done, on one line each, with the time that is left."""

    def __init__(self, count):
        self.begin, self.count, self.done = time.monotonic(), count, 0
        self.lock = threading.Lock()

    def say(self, line):
        with self.lock:
            self.done += 1
            passed = time.monotonic() - self.begin
            left = passed / self.done * (self.count - self.done)
            print(f"[{self.done}/{self.count}, {passed / 60:.1f} min, {left / 60:.1f} left] {line}",
                  flush=True)


def work(waiting, folder, address, log, progress, failed, stop):
    """Gives what is waiting to worker processes, one after the other."""
    while not waiting.empty() and not stop.is_set():
        with subprocess.Popen([sys.executable, "-m", "verdicts.worker", str(folder)],
                              env=worker_environment(address), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=log, text=True) as process:
            try:
                for _ in range(A_WORKERS_LIFE):
                    name = waiting.get_nowait()
                    print(name, file=process.stdin, flush=True)
                    said = answer(process) or f"failed {name}: the worker ended or hung"
                    if said.startswith("failed"):
                        failed[name] = said.partition(": ")[2]
                    progress.say(said)
                    if stop.is_set() or process.poll() is not None:
                        break
            except (queue.Empty, BrokenPipeError):
                pass
            finally:
                process.stdin.close()


def answer(process):
    """A worker's next line; "" when it has ended, or was ended because it took too long."""
    timer = threading.Timer(TOO_LONG, process.kill)
    timer.start()
    said = process.stdout.readline().strip()
    timer.cancel()
    if not said:
        process.wait()
    return said


def worker_environment(address):
    found = environment(address, threads=1)
    paths = [str(ROOT / "tests"), str(ROOT / "examples"), found["PYTHONPATH"]]
    return found | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def train_all(scenarios, folder):
    """Trains those that have no record yet. {name: why} of those that failed."""
    todo = [s for s in scenarios if not (folder / f"{s.name}.json").exists()]
    waiting, failed, stop = queue.SimpleQueue(), {}, threading.Event()
    for scenario in todo:
        waiting.put(scenario.name)
    progress = Progress(len(todo))
    with Daemon(folder / "runs") as daemon, open(folder / "trainers.log", "a") as log:
        threads = [threading.Thread(target=work, args=(
            waiting, folder, daemon.address, log, progress, failed, stop)) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:  # Ctrl-C: the workers have it too
            stop.set()
            raise
        daemon.finish()
    return failed


def judge_all(scenarios, folder, known, failed):
    from verdicts.faults import FAULTS
    from verdicts.record import Record

    verdicts = []
    for scenario in scenarios:
        fault = FAULTS.get(scenario.fault)
        path = folder / f"{scenario.name}.json"
        twin = folder / f"{scenario.twin.name}.json"
        detector = fault.right[0] if fault else ""
        if scenario.name in failed or not path.exists() or not twin.exists():
            outcome = judge.UNKNOWN if fault and not known & set(fault.right) else judge.FAILED
            verdicts.append(judge.Verdict(scenario.name, scenario.model.half, scenario.fault, detector,
                                          outcome, failed.get(scenario.name, "there is no record")))
            continue
        record = Record(path)
        alerts = Alerts(folder / "runs", record.run)
        alerts.new()
        if fault:
            found = judge.judge_faulty(scenario, fault, record, Record(twin), alerts.all)
            if not known & set(fault.right) and found.outcome in (judge.MISSED, judge.LATE):
                found.outcome = judge.UNKNOWN
        elif not alerts.path.exists():
            found = judge.Verdict(scenario.name, scenario.model.half, outcome=judge.FAILED,
                                  text="embmond has no such run")
        else:
            found = judge.judge_healthy(scenario, record, alerts.all)
        verdicts.append(found)
    return verdicts


def chosen(options, known):
    """The scenarios that are to be trained: of a detector this embmond does not have, none."""
    os.environ.update({k: v for k, v in environment("unix:", threads=1).items() if k.startswith("TF_")
                       or k in ("KERAS_BACKEND", "EMBMON_LIBRARY")})
    sys.path[:0] = [str(ROOT / "client" / "python")]
    from verdicts.faults import FAULTS

    every = catalog.scenarios()
    can = [s for s in every if not s.fault or known & set(FAULTS[s.fault].right) or options.unknown]
    if options.tenth:
        healthy, faulty = catalog.tenth(can, {name: f.right[0] for name, f in FAULTS.items()})
        return healthy + faulty, []
    if options.half:
        every = [s for s in every if s.model.half == options.half]
    if options.only:
        every = [s for s in every if any(fnmatch.fnmatchcase(s.name, g) for g in options.only)]
        twins = [s.twin for s in every if s.fault]
        every = list(dict.fromkeys(twins + every))
    return [s for s in every if s in can], [s for s in every if s not in can]


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="verdicts", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, help="records and runs; what is there already is "
                        "not trained again (default build/verdicts/DATE-TIME)")
    parser.add_argument("--only", action="append", metavar="GLOB", help="of the scenarios' names")
    parser.add_argument("--half", choices=table.HALVES)
    parser.add_argument("--tenth", action="store_true", help="the fixed tenth that `make test` trains")
    parser.add_argument("--unknown", action="store_true",
                        help="also faults whose detectors this embmond does not have")
    parser.add_argument("--list", action="store_true", help="say what would be trained")
    parser.add_argument("--no-train", action="store_true", help="judge what --folder has")
    parser.add_argument("--readme", type=pathlib.Path, metavar="JSON",
                        help="put the table of that verdicts.json into the README, and nothing else")
    return parser.parse_args(arguments)


def rewrite_readme(path):
    found = json.loads(path.read_text())
    verdicts = [judge.Verdict(**v) for v in found["verdicts"]]
    readme = ROOT / "README.md"
    readme.write_text(table.into_readme(readme.read_text(), table.markdown(
        verdicts, found["detectors"], found["date"])))


def main():
    options = parse()
    if options.readme:
        return rewrite_readme(options.readme)
    names = known_detectors()
    known = set(names)
    scenarios, waiting = chosen(options, known)
    if options.list:
        print("\n".join(s.name for s in scenarios))
        return 0
    begin = time.monotonic()
    folder = options.folder or ROOT / "build" / "verdicts" / time.strftime("%Y%m%d-%H%M%S")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = {} if options.no_train else train_all(scenarios, folder)
    verdicts = judge_all(scenarios + waiting, folder, known, failed)
    date = datetime.date.today().isoformat()
    table.write(folder / "verdicts.json", verdicts, names, date)
    print("\n" + table.listing(verdicts) + "\n\n" + table.markdown(verdicts, names, date))
    unknown = sum(v.outcome == judge.UNKNOWN for v in verdicts)
    status = table.exit_status(verdicts)
    print(f"\n{'NOT all as it must be' if status else 'All as it must be'}; {unknown} faults wait for "
          f"detectors that this embmond does not have; {(time.monotonic() - begin) / 60:.1f} min; "
          f"{folder / 'verdicts.json'}")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        sys.exit(f"verdicts: {error}")
