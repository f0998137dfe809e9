"""Programs that are told of alerts: how they are started, and what they may do to embmond."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy
import pytest

from harness import BUILD, EMBMOND, ROOT, wait_for
from receiver import Patient, program, sinks

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402


def script(folder, text, name="told"):
    """A program in the folder: sh on the text, with $HERE for the folder."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nHERE={folder}\n{text}\n")
    path.chmod(0o755)
    return path


def sink(daemon, index=0):
    return daemon.status()["sinks"][index]


def written(path):
    """The file's text, once it is there and whole."""
    return wait_for(lambda: path.exists() and path.read_text().endswith("\n") and path.read_text(),
                    str(path))


def test_it_gets_the_object_of_alerts_jsonl(daemons, tmp_path):
    told = script(tmp_path, 'cat >>"$HERE/out"')
    daemon = daemons("--config", sinks(tmp_path, program(told)))
    patient = Patient(daemon)
    patient.fall_ill()
    wait_for(lambda: sink(daemon)["delivered"] == 1, "the first")
    patient.get_well()
    wait_for(lambda: sink(daemon)["delivered"] == 2, "the second")
    assert [json.loads(x) for x in (tmp_path / "out").read_text().splitlines()] == \
        daemon.alerts_file()
    assert sink(daemon)["kind"] == "exec"


def test_arguments_meet_no_shell(daemons, tmp_path):
    told = script(tmp_path, 'for each in "$0" "$@"; do echo "[$each]"; done >"$HERE/out"')
    odd = ["a b", "$(touch x)", "`id`;|&>*?", "\u2603", "--flag"]
    daemon = daemons("--config", sinks(tmp_path, program(told, *odd)))
    Patient(daemon).fall_ill()
    assert written(tmp_path / "out").splitlines() == [f"[{x}]" for x in [str(told), *odd]]


def test_it_starts_as_if_embmond_were_not_there(daemons, tmp_path):
    """No descriptor but three, no signal blocked or ignored, its own session, next to no
    environment; whatever embmond itself was given."""
    told = script(tmp_path, 'exec 2>&1; ls /proc/$$/fd; grep -E "^Sig(Blk|Ign)" /proc/self/status;'
                            'ps -o pgid=,sid= -p $$; echo $$; pwd; env; echo')
    stray = os.open(tmp_path, os.O_RDONLY)
    try:
        config = sinks(tmp_path, program("/bin/sh", "-c", f"{told} >{tmp_path}/out; exit 0"))
        daemon = daemons("--config", config, pass_fds=[stray], env={"SECRET": "x"},
                         preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    finally:
        os.close(stray)
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["delivered"], "its end")
    lines = written(tmp_path / "out").splitlines()
    descriptors = [line for line in lines if re.fullmatch(r"\d", line)]
    assert set(descriptors) <= {"0", "1", "2", "10"}  # sh keeps its script open as 10
    masks = {line[:6]: int(line[7:], 16) for line in lines if line.startswith("Sig")}
    own = 3 << 31  # 32 and 33 are glibc's, which has every program it spawns ignore them
    assert masks["SigBlk"] == masks["SigIgn"] & ~own == 0
    assert "/" in lines
    environment = {line.split("=")[0] for line in lines if re.match(r"[A-Z]+=", line)}
    assert environment <= {"PATH", "LANG", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}
    assert {"PATH", "LANG", "HOME"} <= environment
    group, session = next(line.split() for line in lines if re.fullmatch(r" *\d+ +\d+", line))
    assert group == session != str(os.getsid(daemon.process.pid))


def test_an_exit_status_is_counted_and_said_once(daemons, tmp_path):
    told = script(tmp_path, "echo what went wrong >&2; exit 3")
    daemon = daemons("--config", sinks(tmp_path, program(told, name="pager")))
    patient = Patient(daemon)
    patient.fall_ill()
    wait_for(lambda: sink(daemon)["failed"] == 1, "the first")
    patient.get_well()
    wait_for(lambda: sink(daemon)["failed"] == 2, "the second")
    assert len(daemon.lines("sink pager: exit status 3: what went wrong")) == 1
    status = sink(daemon)
    assert (status["delivered"], status["dropped"], status["waiting"]) == (0, 2, 0)
    assert status["last_error"] == "exit status 3: what went wrong"


def test_75_is_tried_again(daemons, tmp_path):
    told = script(tmp_path, 'echo x >>"$HERE/tries"; [ $(wc -l <"$HERE/tries") -gt 2 ] || exit 75')
    daemon = daemons("--config", sinks(tmp_path, program(told)))
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["delivered"] == 1, "the third try")
    assert sink(daemon)["failed"] == 2
    assert written(tmp_path / "tries").count("x") == 3


def test_one_killed_by_a_signal_is_counted(daemons, tmp_path):
    daemon = daemons("--config", sinks(tmp_path, program("/bin/sh", "-c", "kill -9 $$")))
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["last_error"] == "signal 9 ended it", "its end")


def running(folder):
    """Processes that have the folder in their command line."""
    found = []
    for each in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in each.read_bytes() and str(os.getpid()) != each.parts[2]:
                found.append(int(each.parts[2]))
        except OSError:
            pass
    return found


@pytest.mark.parametrize("trap", ["", "trap '' TERM;"])
def test_one_that_hangs_ends_with_all_it_has_started(daemons, tmp_path, trap):
    """SIGTERM, and SIGKILL for those that do not mind it; also for its children."""
    sleeper = tmp_path / "sleeper"
    sleeper.write_text(f"{trap} while :; do sleep 0.1; done")
    command = f"{trap} sh {sleeper} & sh {sleeper} & wait; sleep 60"
    daemon = daemons("--config", sinks(tmp_path, program("/bin/sh", "-c", command, timeout=0.5)))
    patient = Patient(daemon)
    patient.fall_ill()
    wait_for(lambda: running(sleeper), "its children")
    patient.post(0.5)  # training goes on
    wait_for(lambda: sink(daemon)["failed"], "its end")
    assert sink(daemon)["last_error"] == "it did not end in time"
    wait_for(lambda: not running(sleeper), "its children's end")


def test_what_it_writes_is_bounded(daemons, tmp_path):
    daemon = daemons("--config", sinks(tmp_path, program("/usr/bin/yes", "blah", timeout=20)))
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["failed"], "its end", 5)  # by SIGPIPE, long before its time
    assert sink(daemon)["last_error"].startswith("signal 13 ended it: blah blah")
    assert max(map(len, daemon.log().splitlines())) < 4096
    assert daemon.stop() == 0


def test_what_a_terminal_would_act_on_is_not_shown(daemons, tmp_path):
    told = script(tmp_path, r"printf '\033[31mred\r\n\377'; exit 1")
    daemon = daemons("--config", sinks(tmp_path, program(told)))
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["failed"], "its end")
    assert sink(daemon)["last_error"] == "exit status 1:  [31mred  ?"
    assert "\033" not in daemon.log() and "\033" not in daemon.ctl("status").stdout


def test_at_most_two_run_at_once_and_all_are_told(daemons, tmp_path):
    tables = 12
    told = script(tmp_path, 'mkdir "$HERE/now/$$"; ls "$HERE/now" | wc -l >>"$HERE/counts"\n'
                            'sleep 0.1; rmdir "$HERE/now/$$"')
    (tmp_path / "now").mkdir()
    daemon = daemons("--config", sinks(tmp_path, program(told)))
    ids, zeros = numpy.arange(2), numpy.zeros((2, 2), numpy.float32)
    with embmon.Client(run="many", address=f"unix:{daemon.socket}") as client:
        for i in range(tables):
            client.layer(f"table{i}", "embedding", rows=2, columns=2)
        for step in range(25):
            for i in range(tables):
                client.post_rows(f"table{i}", "gradient", step, ids, zeros)
            client.step(step)
        wait_for(lambda: sink(daemon)["delivered"] >= tables, "all to be told")
        assert sink(daemon)["waiting"] == 0
    counts = [int(x) for x in written(tmp_path / "counts").split()]
    assert max(counts) == 2 and len(counts) >= tables


def test_a_program_that_is_not_there_is_78_at_the_start(tmp_path):
    for command in ("/no/such/program", str(tmp_path / "embmond.yaml")):
        config = sinks(tmp_path, program(command, name="pager"))
        done = subprocess.run([EMBMOND, "-l", tmp_path, "--config", config, "--", "true"],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 78
        assert f"sink pager: cannot run {command}" in done.stderr


def test_one_that_is_gone_for_a_while_is_told_when_it_is_back(daemons, tmp_path):
    told = script(tmp_path, 'cat >"$HERE/out"')
    daemon = daemons("--config", sinks(tmp_path, program(told)))
    told.rename(tmp_path / "away")
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["failed"], "an attempt")
    assert "No such file" in sink(daemon)["last_error"]
    (tmp_path / "away").rename(told)
    assert json.loads(written(tmp_path / "out"))["state"] == "firing"


def test_the_end_waits_two_seconds_and_leaves_nothing_behind(daemons, tmp_path):
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("trap '' TERM; while :; do sleep 0.1; done")
    daemon = daemons("--config", sinks(tmp_path, program("/bin/sh", sleeper, timeout=60)))
    Patient(daemon).fall_ill()
    wait_for(lambda: running(sleeper), "it to start")
    started = time.monotonic()
    assert daemon.stop() == 0
    assert 1 < time.monotonic() - started < 5
    wait_for(lambda: not running(sleeper), "its end")
