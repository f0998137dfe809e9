"""embmonctl watch: what it draws on a terminal, what it writes to a pipe, how it ends."""

import json
import math
import re
import signal
import subprocess
import time

import pytest

from harness import EMBMONCTL, proto, wait_for
from screen import Terminal

LAYERS = ["model/user", "model/item", "out"]


@pytest.fixture
def reviews(daemon):
    """A run of 40 steps; the gradient of model/item falls by a decade in ten steps, to 1e-3."""
    trainer = daemon.trainer("reviews")
    trainer.send(proto.Layers(layers=[
        proto.Layer(id=10 + i, path=path, kind=2, trainable=True, dtype=1)
        for i, path in enumerate(LAYERS)]))
    trainer.post = lambda *steps, **bad: post(trainer, steps, **bad)
    trainer.post(*range(40))
    trainer.settle()
    trainer.daemon = daemon
    yield trainer
    trainer.close()


def falling(step):
    return 10 ** (-min(step, 30) / 10)


def post(trainer, steps, bad=None):
    for step in steps:
        norms = [1, falling(step), 1]
        if bad is not None:
            norms[bad] = math.nan
        trainer.send(*(trainer.sample(step, [norm], 10 + i) for i, norm in enumerate(norms)),
                     trainer.scalar(step, "loss", 0.25), trainer.step_end(step, 4))
    wait_for(lambda: trainer.daemon.ask("runs")[0]["step"] == steps[-1]
             if hasattr(trainer, "daemon") else True, "the step")


def command(daemon, *arguments):
    return [str(EMBMONCTL), "--address", f"unix:{daemon.socket}", "watch", *arguments]


def watch(daemon, *arguments, **options):
    return Terminal(command(daemon, *arguments), **options)


# ---- on a terminal

def test_eighty_columns_show_the_tree_with_norms_and_states(reviews):
    reviews.post(40, bad=2)
    with watch(reviews.daemon) as terminal:
        lines = terminal.wait_for("not finite")
        assert lines[0].startswith(
            "reviews  live  step 40  ranks 1  loss 0.25  firing 1  last step ")
        assert re.match(r"LAYER +GRADIENT NORM +NOW STATE$", lines[2])
        assert lines[3] == "tower" and re.fullmatch("├ embedding +- ok", lines[4])
        at = lines.index("model")
        assert re.fullmatch(r"├ user +▅{10,64} +1 ok", lines[at + 1])
        assert re.fullmatch(r"└ item +█.*▁ +0\.001 ok", lines[at + 2])
        assert re.fullmatch(r"out +▅+! +nan firing gradient_nonfinite", lines[at + 3])
        assert any(line.startswith("firing critical gradient_nonfinite out, step 40, ")
                   for line in lines)


def test_it_goes_on_with_the_run(reviews):
    with watch(reviews.daemon) as terminal:
        terminal.wait_for("step 39 ")
        reviews.post(40, 41)
        terminal.wait_for("step 41 ")
        reviews.bye()
        terminal.wait_for("no trainer")
        terminal.type(b"xq")
        assert terminal.wait() == 0


def test_another_size_is_drawn_at_once(reviews):
    with watch(reviews.daemon) as terminal:
        assert "q quits" in terminal.wait_for("out ")[0]
        terminal.resize(12, 50)
        terminal.wait_for("out ")
        wait_for(lambda: terminal.read() or terminal.lines()[0].endswith("…"), "a narrow heading")
        terminal.resize(30, 120)
        wait_for(lambda: terminal.read() or terminal.lines()[0].endswith("q quits"), "a wide one")
        # A screen comes in pieces.
        wait_for(lambda: terminal.read() or any(
            line.startswith("out ") and line.count("▅") == 40 for line in terminal.lines()),
            "a sparkline of 40")


@pytest.mark.parametrize("end", ["q", signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_put_back(reviews, end):
    import termios
    with watch(reviews.daemon) as terminal:
        terminal.wait_for("reviews")
        raw = termios.tcgetattr(terminal.slave)
        assert not raw[3] & (termios.ICANON | termios.ECHO)
        if end == "q":
            terminal.type(b"q")
        elif end == signal.SIGINT:
            terminal.type(b"\x03")  # the terminal makes the signal
        else:
            terminal.process.send_signal(end)
        assert terminal.wait() == 0
        assert termios.tcgetattr(terminal.slave) == terminal.before
        assert terminal.seen.startswith(b"\x1b[?1049h\x1b[?25l\x1b[?7l")
        assert terminal.seen.endswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l")


def test_it_can_be_suspended(reviews):
    shell = ["bash", "-c", 'set -m; "$@"; stty -a; echo away; read -r; fg', "bash",
             *command(reviews.daemon)]
    with Terminal(shell) as terminal:
        terminal.wait_for("reviews")
        terminal.type(b"\x1a")
        terminal.wait_for("away")
        before, settings = terminal.seen.split(b"\x1b[?1049l")
        assert b" icanon " in settings and b" echo " in settings
        terminal.type(b"\n")
        wait_for(lambda: terminal.read() or terminal.seen.count(b"\x1b[?1049h") == 2, "its return")
        reviews.post(40)
        terminal.wait_for("step 40 ")
        terminal.type(b"q")
        assert terminal.wait() == 0


def test_colours_only_where_they_are_welcome(reviews):
    reviews.post(40, bad=0)
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with watch(reviews.daemon, env=env) as terminal:
            terminal.wait_for("firing gradient_nonfinite")
            assert (b"\x1b[1;31mfiring" in terminal.seen) == coloured


def test_a_terminal_of_ascii_gets_ascii(reviews):
    with watch(reviews.daemon, env={"LC_ALL": "C"}) as terminal:
        lines = terminal.wait_for("`-item")
        assert any(re.fullmatch(r"out +\++ +1 ok", line) for line in lines)
        assert terminal.seen.isascii()


def test_a_dumb_terminal_gets_lines(reviews):
    reviews.post(40, bad=0)
    with watch(reviews.daemon, env={"TERM": "dumb"}) as terminal:
        terminal.wait_for("firing critical gradient_nonfinite model/user")
        assert b"\x1b" not in terminal.seen


def test_names_in_wide_letters_move_nothing(daemon):
    trainer = daemon.trainer("wide")
    names = ["层" * 40, "ｗｉｄｅ", "e\u0301" * 30, "한국어", "👩👧/x"]
    trainer.send(proto.Layers(layers=[
        proto.Layer(id=20 + i, path=name, kind=2, trainable=True, dtype=1)
        for i, name in enumerate(names)]))
    trainer.send(*(trainer.sample(0, [1.0], 20 + i) for i in range(5)), trainer.step_end(0, 5))
    trainer.settle()
    with watch(daemon) as terminal:
        lines = terminal.wait_for("层")
        # What stands behind the names is in line, in the screen's own cells.
        ends = [max(x for x in range(80) if terminal.screen.buffer[y][x].data not in (" ", ""))
                for y, line in enumerate(lines) if line.endswith(" ok")]
        assert len(ends) == 7 and len(set(ends)) == 1
        # Nothing is cleared behind a text: on its last column that would take the last letter.
        assert not re.search(rb"[^\n\rHh\x1bl\d]\x1b\[[JK]", terminal.seen)
    trainer.close()


def test_the_daemon_dies(reviews):
    with watch(reviews.daemon) as terminal:
        terminal.wait_for("reviews")
        reviews.daemon.process.kill()
        assert terminal.wait() == 69
        after = terminal.seen.split(b"\x1b[?1049l")[1]
        assert after.startswith(b"embmonctl: embmond is gone: unix:")


# ---- which run

def test_the_live_run_is_watched(daemon):
    daemon.trainer("a").bye()
    trainer = daemon.trainer("b")
    daemon.trainer("c").bye()
    wait_for(lambda: [r["live"] for r in daemon.ask("runs")] == [False, True, False], "one live")
    with watch(daemon) as terminal:
        terminal.wait_for("b  live")
    other = daemon.trainer("d")
    done = daemon.ctl("watch")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == "embmonctl: which run? the live runs are: b, d\n"
    for each in (trainer, other):
        each.bye()
    wait_for(lambda: not any(r["live"] for r in daemon.ask("runs")), "none live")
    with watch(daemon) as terminal:
        terminal.wait_for("d  no trainer")


def test_the_run_that_was_chosen_stays(reviews):
    with watch(reviews.daemon) as terminal:
        terminal.wait_for("reviews  live")
        other = reviews.daemon.trainer("other")
        reviews.post(40)
        terminal.wait_for("step 40 ")
        other.close()


def test_an_unknown_run_is_64(reviews):
    done = reviews.daemon.ctl("watch", "nope")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == "embmonctl: no run nope is loaded: the loaded runs are: reviews\n"


def test_no_daemon_is_69(tmp_path):
    done = subprocess.run([str(EMBMONCTL), "--address", f"unix:{tmp_path}/none", "watch"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith(f"embmonctl: no embmond at unix:{tmp_path}/none: ")


# ---- before there is a run

def test_a_terminal_waits_for_the_first_run(daemon):
    with watch(daemon, columns=200) as terminal:
        lines = terminal.wait_for("embmond answers at")
        assert re.fullmatch("waiting for the first run +q quits", lines[0])
        assert lines[2] == f"embmond answers at unix:{daemon.socket}"
        trainer = daemon.trainer("first")
        lines = terminal.wait_for("first  live")
        assert "waiting" not in "\n".join(lines)
        terminal.type(b"q")
        assert terminal.wait() == 0
        trainer.close()


def test_a_terminal_that_waits_can_be_left(daemon):
    with watch(daemon) as terminal:
        terminal.wait_for("waiting for the first run")
        terminal.type(b"q")
        assert terminal.wait() == 0
        assert terminal.seen.endswith(b"\x1b[?1049l")


def test_lines_on_a_terminal_say_once_that_they_wait(daemon):
    for arguments, env in (([], {"TERM": "dumb"}), (["--json"], {})):
        with watch(daemon, *arguments, env=env) as terminal:
            terminal.wait_for("embmonctl: waiting for the first run at unix:")
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                terminal.read()
            assert terminal.seen.count(b"waiting") == 1


@pytest.mark.parametrize("named", [[], ["late"]])
def test_a_pipe_is_silent_until_there_is_something(daemon, named):
    with Pipe(daemon, *named) as pipe:
        time.sleep(1.5)
        assert pipe.process.poll() is None
        trainer = daemon.trainer("late")
        trainer.step(0, values=[math.nan])
        trainer.settle()
        assert " firing critical gradient_nonfinite " in pipe.line()
        pipe.process.terminate()
        assert pipe.process.communicate()[1] == ""
        trainer.close()


def test_another_first_run_than_the_one_named_ends_it(daemon):
    with Pipe(daemon, "wanted") as pipe:
        time.sleep(0.5)
        trainer = daemon.trainer("other")
        assert pipe.process.wait(20) == 64
        assert pipe.process.communicate()[1] == \
            "embmonctl: no run wanted is loaded: the loaded runs are: other\n"
        trainer.close()


# ---- into a pipe

class Pipe:
    def __init__(self, daemon, *arguments):
        self.process = subprocess.Popen(command(daemon, *arguments), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        return self.process.stdout.readline()


def test_a_pipe_gets_a_line_for_each_change_of_an_alert(reviews):
    reviews.post(40, bad=0)
    with Pipe(reviews.daemon) as pipe:
        first = pipe.line()
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} firing critical gradient_nonfinite"
                        r" model/user step 40: the gradient of model/user is not finite", first)
        reviews.post(*range(41, 65))
        assert " resolved critical gradient_nonfinite model/user step " in pipe.line()
        reviews.daemon.process.kill()
        assert pipe.process.wait(20) == 69
        rest, error = pipe.process.communicate()
        assert "\x1b" not in rest
        assert error.startswith("embmonctl: embmond is gone: ") and error.count("\n") == 1


def test_json_is_one_object_for_each_change(reviews):
    with Pipe(reviews.daemon, "--json") as pipe:
        first = json.loads(pipe.line())
        assert (first["run"], first["live"], first["step"], first["loss"]) == \
            ("reviews", True, 39, 0.25)
        item = first["layers"][3]
        assert (item["layer"], item["kind"], item["state"], item["trainable"]) == \
            ("model/item", "dense", "ok", True)
        assert item["norms"] == pytest.approx([falling(s) for s in range(40)], rel=1e-3)
        time.sleep(2.5)  # refreshes without a change
        reviews.post(40)
        second = json.loads(pipe.line())
        assert second["step"] == 40 and second["time"] - first["time"] > 2


def test_the_reader_of_a_pipe_goes_away(reviews):
    reviews.post(40, bad=0)
    with Pipe(reviews.daemon) as pipe:
        pipe.line()
        pipe.process.stdout.close()
        assert pipe.process.wait(20) == 0
