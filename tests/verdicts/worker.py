"""A process that trains the scenarios it is told on standard input, one name a line, to start
TensorFlow once. Answers with a line for each: "trained NAME" or "failed NAME: why".

    python -m verdicts.worker FOLDER
"""
import contextlib
import pathlib
import sys
import time
import traceback

import verdicts.catalog as catalog
import verdicts.hand as hand
import verdicts.record as record
import verdicts.trainer as trainer


def train(scenario, folder):
    """Trains it and writes its record."""
    begin = time.monotonic()
    kind = hand.ByHand if scenario.model.family == "by_hand" else trainer.Training
    training = kind(scenario).run()
    record.write(folder / f"{scenario.name}.json",
                 training.record() | {"seconds": time.monotonic() - begin})


def main():
    folder = pathlib.Path(sys.argv[1])
    known = {scenario.name: scenario for scenario in catalog.scenarios()}
    answers = sys.stdout
    for line in sys.stdin:
        name = line.strip()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                print(f"---- {name}", flush=True)
                train(known[name], folder)
            print(f"trained {name}", file=answers, flush=True)
        except Exception as error:
            traceback.print_exc()
            first = str(error).strip().splitlines()[0:1]
            print(f"failed {name}: {type(error).__name__}: {' '.join(first)[:300]}", file=answers,
                  flush=True)


if __name__ == "__main__":
    main()
