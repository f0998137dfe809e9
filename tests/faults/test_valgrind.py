"""Black-box tests of embmond once more, with valgrind watching: no access to what is not there or not
set, and nothing lost at its end. Nothing is suppressed."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import ROOT  # noqa: E402

WATCHED = ("valgrind --quiet --leak-check=full --show-leak-kinds=definite "
           "--errors-for-leak-kinds=definite --log-file={}/%p")
# It knows no openat2(), says so, and answers ENOSYS, with which embmond goes on in another way.
OPENAT2 = re.compile(r"--\d+-- WARNING: unhandled \S+ syscall: 437\n(--\d+-- .*\n){4}")
# What is left out needs the speed that valgrind takes, or what it does to vfork().
CHOICE = {
    "test_daemon_badinput.py": "", "test_server.py": "not idle and not goes_on_sending",
    "test_first_sight.py": "not charted", "test_detectors.py": "",
    "test_webhook.py": "sent or alerts or 500 or garbage",
    "test_exec_sink.py": "not gone_for_a_while",
}


def test_it_finds_what_there_is(tmp_path):
    (tmp_path / "wrong.c").write_text(
        "#include <stdlib.h>\nint main(int n, char **a) { int *p = malloc(4); return *p + n == 7; }")
    subprocess.run([os.environ.get("CC", "gcc"), "-g", "-o", tmp_path / "wrong",
                    tmp_path / "wrong.c"], check=True)
    subprocess.run([*WATCHED.format(tmp_path).split(), tmp_path / "wrong"], check=False)
    (said,) = (path.read_text() for path in tmp_path.iterdir() if path.name.isdigit())
    assert "uninitialised" in said and "definitely lost" in said


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CHOICE)
def test_valgrind_finds_nothing(name, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reruns", "1", "-k",
         CHOICE[name], f"--basetemp={tmp_path}/pytest", ROOT / "tests" / name],
        cwd=ROOT, env={**os.environ, "EMBMON_UNDER": WATCHED.format(logs)}, capture_output=True,
        text=True, timeout=580, check=False)
    said = [OPENAT2.sub("", path.read_text()) for path in logs.iterdir()]
    assert said, done.stdout
    assert not any(said), "\n".join(said)
    assert done.returncode == 0, done.stdout[-4000:]
