"""The list of tests/sanitized.py is true, and what a sanitizer finds is not passed over."""
import re
import subprocess

import pytest

import sanitized
from harness import ROOT

MISTAKES = """
#include <stdlib.h>
int main(int argc, char **argv)
{
    volatile int which = argc > 1 ? atoi(argv[1]) : 0, result = 2147483647;
    volatile int *four = calloc(4, sizeof *four);

    if (which == 1)
        result = four[4];
    if (which == 2)
        result += which;
    for (int i = 0; which == 3 && i < 100; i++) /* of some a register or the stack may still know */
        four = calloc(4, sizeof *four);
    free((void *)four);
    return 0;
}
"""


def test_what_is_left_out_is_there():
    for name in sanitized.LEFT_OUT:
        path, _, function = name.partition("::")
        text = (ROOT / "tests" / path).read_text()
        assert not function or re.search(rf"^def {function}\(", text, re.M), name


@pytest.mark.skipif(not sanitized.SANITIZED, reason="needs sanitizers")
@pytest.mark.parametrize("name, argument, found", [
    ("embmond", 1, "heap-buffer-overflow"), ("embmond", 2, "__ubsan_handle_add_overflow"),
    ("embmond", 3, "detected memory leaks"), ("embmond", 0, ""), ("other", 3, "")])
def test_what_is_wrong_is_reported(sanitizer_reports, tmp_path, name, argument, found):
    """Leaks are those of our programs alone, which are known by their names."""
    program = tmp_path / name
    subprocess.run(["gcc", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-x", "c",
                    "-o", program, "-"], input=MISTAKES, text=True, check=True)
    done = subprocess.run([program, str(argument)], check=False)
    said = sanitizer_reports.take()
    assert bool(done.returncode) == bool(said) == bool(found)
    assert found in said
