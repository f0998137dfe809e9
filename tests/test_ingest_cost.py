"""The instructions of a summary's whole way through the daemon but for its sockets, counted by
valgrind: what a clock on a busy machine cannot guard.

64 buckets, 10 layers a step: decoded, checked, merged, judged by all detectors, learnt from, recorded,
kept in checkpoints; after 4,096 steps, and among the first 64, each of which is recorded for itself.
The limits are what it was when they were written and a seventh more; who makes it better may lower
them, who must make it worse says why.
"""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "build" / "tools" / "growth"  # never with sanitizers
LAYERS = 10

pytestmark = pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")


def instructions(folder, steps):
    folder.mkdir()
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", TOOL, folder,
         str(LAYERS), str(steps)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


@pytest.mark.parametrize("warm, measured, limit", [(4096, 512, 11020), (16, 48, 38160)])
def test_instructions_a_summary(tmp_path, warm, measured, limit):
    cost = instructions(tmp_path / "more", warm + measured) - instructions(tmp_path / "less", warm)
    assert cost / (LAYERS * measured) < limit
