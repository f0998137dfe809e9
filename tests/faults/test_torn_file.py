"""An event file cut at each of its 65,536 offsets, and with spoilt tails: tests/unit/test_torn_file.c
in full."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from harness import BUILD  # noqa: E402


def test_every_offset(record_property):
    began = time.monotonic()
    done = subprocess.run([BUILD / "tests" / "test_torn_file", "all"], capture_output=True,
                          text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    lines = [line for line in done.stdout.splitlines() if " of " in line and ":" in line]
    record_property("figure", f"{'; '.join(lines)}; {time.monotonic() - began:.0f} s")
    assert lines[0] == "cut: 65536 of 65536 offsets"
    assert lines[1] == "spoilt: 8192 of 8192 tails of zeros and of garbage"
    assert lines[2] == "longer: 8192 of 8192 tails of zeros and of garbage"
