"""Trainers with worker processes, as PyTorch and multiprocessing make them: the workers are nobody's
ranks, hang nowhere, and change nothing."""

import os
import subprocess
import sys

import pytest

from harness import BUILD, ROOT
from recorder import Recorder

PATIENCE = 240  # a hang would last for ever; workers that are spawned import torch first

# The client is a global, as in a notebook: workers that are forked inherit it.
POSTER = '''
import os, sys, threading, time
import numpy as np
import embmon

client = None
over = threading.Event()

def post_beside():
    """Posts all the time, so that workers are forked in the middle of a call."""
    values, step = np.ones(64, np.float32), 0
    while not over.is_set():
        client.post("beside", "activation", step, values)
        client.step(step)
        step += 1
        time.sleep(0.0002)

def begin():
    global client, beside
    client = embmon.Client(run="workers")
    client.step(0)
    beside = threading.Thread(target=post_beside)
    beside.start()

def end():
    over.set()
    beside.join()
    stats = client.stats()
    assert stats.produced == stats.acked + stats.rejected + stats.dropped + stats.in_flight
    assert stats.reconnects == 0
    assert client.close(10) == stats.dropped, client.stats()

def in_worker():
    """Inherited, the client says so; in a process that was spawned there is none."""
    if client is None:
        return
    try:
        client.post("beside", "activation", 0, np.ones(64, np.float32))
    except embmon.ClosedError:
        return
    raise AssertionError("a fork has posted")
'''

TORCH = POSTER + '''
import torch
from torch.utils.data import DataLoader, Dataset

class Reviews(Dataset):
    def __len__(self):
        return 256

    def __getitem__(self, i):
        in_worker()
        ids = (torch.arange(8) * (i + 1)) % 100
        return ids, float(i % 2)

def train(start, monitored):
    torch.manual_seed(7)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.EmbeddingBag(100, 8), torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters())
    step = 0
    for epoch in range(EPOCHS):
        loader = DataLoader(Reviews(), 32, num_workers=4, multiprocessing_context=start)
        for ids, labels in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(ids)[:, 0], labels.float())
            loss.backward()
            if monitored:
                for name, parameter in model.named_parameters():
                    client.post(name.replace(".", "/"), "gradient", step, parameter.grad.numpy())
                client.step(step)
            optimizer.step()
            step += 1
    return b"".join(p.detach().numpy().tobytes() for p in model.parameters()).hex()

if __name__ == "__main__":
    start = sys.argv[1]
    EPOCHS = 3 if start == "fork" else 1  # each worker that is spawned imports torch
    begin()
    monitored = train(start, True)
    end()
    assert monitored == train(start, False), "the monitor has changed the weights"
    print("well")
'''

POOL = POSTER + '''
import multiprocessing

def work(i):
    in_worker()
    return i * i

if __name__ == "__main__":
    begin()
    context = multiprocessing.get_context(sys.argv[1])
    for _ in range(3):
        with context.Pool(4) as pool:
            assert pool.map(work, range(100)) == [i * i for i in range(100)]
    processes = [context.Process(target=work, args=(i,)) for i in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    end()
    print("well")
'''


def train_with_workers(program, start, tmp_path):
    """Runs it; asserts that it ends well and that there was one session. What was recorded."""
    script = tmp_path / "train.py"  # spawn reads it again
    script.write_text(program, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMBMON_")}
    with Recorder() as recorder:
        done = subprocess.run(
            [sys.executable, script, start], capture_output=True, text=True, timeout=PATIENCE,
            check=False, env=kept | {"PYTHONPATH": str(ROOT / "client" / "python"),
                                     "EMBMON_LIBRARY": str(BUILD / "libembmon.so"),
                                     "EMBMON_ADDRESS": recorder.address})
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr[-4000:]
    assert len(recorder.of("Hello")) == 1
    return recorder


@pytest.mark.timeout(PATIENCE + 30)
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_multiprocessing_hang_nowhere(start, tmp_path):
    train_with_workers(POOL, start, tmp_path)


@pytest.mark.timeout(PATIENCE + 30)
def test_workers_of_a_data_loader_hang_nowhere(tmp_path):
    recorded = train_with_workers(TORCH, "fork", tmp_path)
    assert [sample.step for sample in recorded.samples("0/weight")] == list(range(3 * 8))
