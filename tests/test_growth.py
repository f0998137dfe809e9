"""A long training leaves files that grow with the logarithm of its steps, and memory that does not
grow: tests/tools/growth.c in simulated time, all of the daemon but its sockets. `make bench` does the
same over a million steps of 100 layers, and looks at the cost of a step, too."""
import pathlib
import subprocess

import readers

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "build" / "tools" / "growth"  # never with sanitizers
LAYERS, STEPS = 10, 2**15
HISTOGRAMS, SCALARS = 64, 512  # of a tag for each doubling, see daemon/ladder.h


def test_files_and_memory_of_a_long_training(tmp_path):
    done = subprocess.run([TOOL, tmp_path, str(LAYERS), str(STEPS)], check=True, text=True,
                          stdout=subprocess.PIPE, timeout=300)
    lines = [[int(x) for x in line.split()] for line in done.stdout.splitlines()[:-1]]
    assert [line[0] for line in lines] == [2**power for power in range(6, 16)]
    size = {step: written for step, _, written, _ in lines}
    memory = {step: kib for step, _, _, kib in lines}

    # Whatever is queued belongs to the line after: each doubling takes the same, within a tenth.
    takes = [size[2 * step] - size[step] for step in (2**11, 2**12, 2**13, 2**14)]
    assert max(takes) < 1.1 * min(takes), takes
    assert memory[STEPS] <= 1.02 * memory[2**11], memory

    run = readers.rust(tmp_path)["growth/embmon"]
    for tags, most in ((run.histograms, HISTOGRAMS), (run.scalars, SCALARS)):
        assert len(tags) >= LAYERS
        for tag, points in tags.items():
            doublings = max(0, (STEPS // most).bit_length() - 1)
            assert len(points) <= most * (1 + doublings) + 1, tag
