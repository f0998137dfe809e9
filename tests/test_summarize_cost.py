"""The instructions of a summary, of lending, and of what a step posts of a table, counted by valgrind: what a clock on a busy machine cannot guard.

valgrind knows vectors of 16 and 32 bytes, not those of 64. A limit is what it was when it was
written and a seventh more; who makes it better may lower it, who must make it worse says why.
"""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "build" / "tools" / "summarize"  # never with sanitizers
STEP_TOOL = TOOL.with_name("step_cost")
LEND_TOOL = TOOL.with_name("lend_cost")
DTYPES = {"f32": 1, "f64": 2, "f16": 3, "bf16": 4}
LEVELS = {"base": 0, "avx2": 1}

pytestmark = pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")


def counted(*command, options=()):
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *options, *command],
        capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        pytest.skip("this processor does not have that level")
    assert done.returncode == 0, done.stderr
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def instructions(dtype, count, times, level, *how):
    return counted(TOOL, "cost", str(DTYPES[dtype]), str(count), str(times), str(LEVELS[level]), *how)


def each(dtype, count, level, *how):
    """Of one summary, without what comes before and after."""
    return (instructions(dtype, count, 3, level, *how) - instructions(dtype, count, 1, level, *how)) / 2


@pytest.mark.parametrize("level, dtype, limit", [
    ("base", "f32", 14), ("base", "f64", 20.5), ("base", "f16", 19.8), ("base", "bf16", 14.3),
    ("avx2", "f32", 8), ("avx2", "f64", 10.8), ("avx2", "f16", 8.2), ("avx2", "bf16", 8.5)])
def test_instructions_an_element(level, dtype, limit):
    count = 1 << 16
    assert each(dtype, count, level) / count < limit


@pytest.mark.parametrize("dtype, limit", [("f32", 6.5), ("f64", 8.4), ("f16", 6.6), ("bf16", 6.1)])
def test_instructions_an_element_by_pairs(dtype, limit):
    count = 1 << 18
    assert each(dtype, count, "avx2", "pairs") / count < limit


@pytest.mark.parametrize("level, limit", [("base", 7700), ("avx2", 6000)])
def test_instructions_of_a_small_tensor(level, limit):
    assert each("f32", 200, level) < limit


def of_a_step(rows):
    """Of one step with a table of so many rows, without what comes before and after."""
    return (counted(STEP_TOOL, str(rows), "12") - counted(STEP_TOOL, str(rows), "2")) / 10


def test_instructions_of_a_step_do_not_grow_with_the_vocabulary():
    """Equal batches, of equally many different ids: work for each row that is touched, none for those
    that are not, and none for each pair."""
    small, large = of_a_step(10**4), of_a_step(10**6)
    assert 0.9 < large / small < 1.1, (small, large)
    assert small / (6400 * 64) < 21  # for each element of the gradient: all four posts


def of_a_loan(elements):
    """Of one array of so many f32, for the thread that lends it."""
    within = ["--toggle-collect=embmon_lend"]
    return (counted(LEND_TOOL, str(elements), "12", options=within)
            - counted(LEND_TOOL, str(elements), "2", options=within)) / 10


def test_instructions_of_lending_do_not_grow_with_the_array():
    small, large = of_a_loan(16), of_a_loan(10**6)
    assert small == large < 560
