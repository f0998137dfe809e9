"""Runs Keras examples one after the other in one process, to start TensorFlow once.

Standard input has a line for each: its name and its options, such as

    keras_recommender --fault nan --seed 3 --run nan-3 --record nan-3.record

Needs an embmond: a training that it did not see whole is an error.
"""
import importlib
import shlex
import sys

import keras


def main():
    for line in sys.stdin:
        name, *arguments = shlex.split(line)
        example = importlib.import_module(name)
        keras.utils.clear_session()  # layers are named as in a fresh process
        options = example.parse(arguments)
        monitor = example.train(options)
        undelivered = monitor.close(20)
        if undelivered or monitor.run != options.run or "lost" in monitor.summary():
            sys.exit(f"{options.run}: {undelivered} posts were not delivered: {monitor.summary()}")
        print(f"trained {options.run}", flush=True)


if __name__ == "__main__":
    main()
