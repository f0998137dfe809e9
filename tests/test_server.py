"""The event loop's own duties: ending well, and hearing signals."""

import signal
import threading
import time

from harness import encode, proto, wait_for


def test_sigterm_takes_in_what_was_received(daemon):
    trainer = daemon.trainer()
    daemon.signal(signal.SIGSTOP)  # what is sent now lies in the socket
    trainer.step(*range(50))
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGCONT)
    assert daemon.wait() == 0
    kept = [m.kept for m in trainer.receive_to_end() if m.DESCRIPTOR.name == "Ack"]
    assert kept[-1] == trainer.sequence == 200
    assert len(daemon.event_files()) == 1


def test_sigint_does_the_same(daemon):
    daemon.signal(signal.SIGINT)
    assert daemon.wait() == 0


def test_it_ends_in_time_while_a_trainer_goes_on_sending(daemon):
    trainer = daemon.trainer()
    stop = threading.Event()

    def post():
        step = 0
        try:
            while not stop.is_set():
                trainer.step(step)
                step += 1
        except OSError:
            pass

    def read():
        trainer.receive_to_end()

    threads = [threading.Thread(target=post), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    wait_for(lambda: daemon.status()["acked"] > 1000, "posts")
    started = time.monotonic()
    status = daemon.stop()
    took = time.monotonic() - started
    stop.set()
    for thread in threads:
        thread.join()
    assert status == 0
    assert took < 5


def test_a_second_signal_does_not_wait(daemon):
    # A peer that reads nothing of 480 KB, more than its socket holds: it would be waited for.
    deaf = daemon.trainer()
    for _ in range(30):
        deaf.send_bytes(encode(proto.Heartbeat()) * 1000)
    started = time.monotonic()
    daemon.signal(signal.SIGTERM)
    wait_for(lambda: daemon.lines("taking in"), "the first to be heard")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 128 + signal.SIGTERM
    assert time.monotonic() - started < 1.5  # of the 3 s the first would have taken


def test_sighup_is_answered_and_nothing_else(daemon):
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: daemon.lines("no configuration file"), "the line")
    assert daemon.status()["runs"] == 0


def test_a_post_can_be_read_within_a_second(daemon):
    trainer = daemon.trainer()
    trainer.step(0)
    trainer.settle()
    acked = time.monotonic()
    wait_for(lambda: any(b"gradient_norm/tower/embedding" in f.read_bytes()
                         for f in daemon.event_files()), "the record", timeout=5)
    # The step closes when the only rank has ended it; the rest is the tick.
    assert time.monotonic() - acked < 1
    trainer.bye()


def test_an_idle_daemon_costs_next_to_nothing(daemon):
    def ticks():
        fields = open(f"/proc/{daemon.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(1)
    assert ticks() - before <= 2  # of 100
