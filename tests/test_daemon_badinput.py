"""Whatever a peer sends: it gets a clear error or a counted rejection, the daemon lives, and a
healthy trainer beside it notices nothing."""

import zlib

import pytest

from harness import (DEFLATED, NUMBER, PAYLOAD_MAX, Closed, Trainer, encode, frame, proto,
                     wait_for)

REFUSED, INVALID, LATE, UNKNOWN = 5, 1, 2, 3


@pytest.fixture
def beside(daemon):
    """A healthy trainer, in the middle of its work before and after."""
    healthy = daemon.trainer("healthy")
    for step in range(5):
        healthy.step(step)
    assert healthy.settle() == []
    yield healthy
    for step in range(5, 10):
        healthy.step(step)
    assert healthy.settle() == []
    assert daemon.alive()
    runs = {run["name"]: run for run in daemon.ask("runs")}
    assert runs["healthy"]["rejected"] == 0
    assert runs["healthy"]["acked"] == 40
    assert healthy.bye() == []
    assert daemon.stop() == 0


def hello(**fields):
    return proto.Hello(**({"protocol_min": 1, "protocol_max": 1, "session": b"0123456789abcdef",
                           "name": "bad", "world_size": 1} | fields))


def must_be_refused(daemon, data, why):
    """The daemon says why and closes."""
    before = daemon.status()["invalid_frames"]
    with daemon.peer() as peer:
        peer.send_bytes(data)
        messages = peer.receive_to_end()
    assert [m.DESCRIPTOR.name for m in messages] == ["Nack"], messages
    assert messages[0].reason == REFUSED
    assert why in messages[0].detail
    assert daemon.status()["invalid_frames"] == before + 1


def must_reject(trainer, message, reason, why):
    """A numbered post is answered with a Nack, and the connection goes on."""
    trainer.send(message)
    nacks = [m for m in trainer.settle() if m.DESCRIPTOR.name == "Nack"]
    assert [(n.sequence, n.reason) for n in nacks] == [(message.sequence, reason)]
    assert why in nacks[0].detail


def test_garbage_bytes_are_refused(daemon, beside):
    must_be_refused(daemon, bytes(range(7, 256)), "")
    assert len(daemon.lines("not an embmon frame")) == 1
    for _ in range(20):
        must_be_refused(daemon, b"\xff" * 64, "")
    assert len(daemon.lines("not an embmon frame")) == 1  # once a minute


def test_an_http_request_is_refused(daemon, beside):
    must_be_refused(daemon, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "")


def test_a_frame_one_byte_over_the_ceiling_is_refused_before_its_payload_comes(daemon, beside):
    over = frame(NUMBER["Hello"], b"", length=PAYLOAD_MAX + 1)
    must_be_refused(daemon, over, "")
    with daemon.trainer("full") as trainer:  # one of just the ceiling is read
        trainer.send_bytes(frame(999, bytes(PAYLOAD_MAX)))
        trainer.step(0)
        assert trainer.settle() == []
    assert daemon.status()["unknown_frames"] == 1


def test_a_truncated_frame_is_forgotten_with_its_connection(daemon, beside):
    whole = encode(hello())
    for cut in (1, 15, 16, len(whole) - 1):
        with daemon.peer() as peer:
            peer.send_bytes(whole[:cut])
    wait_for(lambda: daemon.status()["sessions"] == 1, "the connections to end")
    assert [run["name"] for run in daemon.ask("runs")] == ["healthy"]


def test_a_damaged_frame_is_refused(daemon, beside):
    damaged = bytearray(encode(hello()))
    damaged[-1] ^= 1
    must_be_refused(daemon, bytes(damaged), "")


def test_an_inflate_bomb_is_refused(daemon, beside):
    bomb = zlib.compress(bytes(64 << 20), 9)
    assert len(bomb) < PAYLOAD_MAX
    must_be_refused(daemon, frame(NUMBER["Hello"], bomb, flags=DEFLATED), "")


def test_what_does_not_inflate_is_refused(daemon, beside):
    must_be_refused(daemon, frame(NUMBER["Hello"], b"not zlib", flags=DEFLATED), "")


def test_unknown_message_types_are_skipped_and_counted(daemon, beside):
    with daemon.trainer("newer") as trainer:
        for number in (0, len(NUMBER) + 1, 999, 65535):
            trainer.send_bytes(frame(number, b"whatever"))
        trainer.step(0)
        assert trainer.settle() == []
    assert daemon.status()["unknown_frames"] == 4


def test_a_wrong_framing_version_is_refused(daemon, beside):
    payload = hello().SerializeToString()
    must_be_refused(daemon, frame(NUMBER["Hello"], payload, version=2), "version")


def test_a_wrong_protocol_version_is_refused(daemon, beside):
    must_be_refused(daemon, encode(hello(protocol_min=2, protocol_max=9)), "version")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc", "a//b", "a/", ".hidden", "a b",
                                  "caf\u00e9", "x" * 200, "a\n"])
def test_a_run_name_that_is_no_name_is_refused(daemon, beside, name):
    must_be_refused(daemon, encode(hello(name=name)), "name")
    must_be_refused(daemon, encode(hello(given=name)), "")
    assert sorted(p.name for p in daemon.logdir.iterdir()) == ["healthy"]
    assert not (daemon.folder / "evil").exists()


def test_invalid_utf8_in_a_run_name_is_refused(daemon, beside):
    payload = hello(name="XXXX").SerializeToString().replace(b"XXXX", b"a\xff\xc3(")
    must_be_refused(daemon, frame(NUMBER["Hello"], payload), "")


def test_what_is_not_protobuf_is_refused(daemon, beside):
    must_be_refused(daemon, frame(NUMBER["Hello"], b"\xff" * 100), "")


def test_a_post_before_hello_is_refused(daemon, beside):
    must_be_refused(daemon, encode(proto.StepEnd(sequence=1, phase=1, step=0)), "Hello")


def test_a_second_hello_is_refused(daemon, beside):
    with daemon.trainer("twice") as trainer:
        trainer.send(hello())
        assert [m.detail for m in trainer.receive_to_end()] == ["a second Hello on one connection"]


def test_nan_everywhere_is_an_alert_not_a_crash(daemon, beside):
    with daemon.trainer("nan") as trainer:
        for step in range(3):
            trainer.send(trainer.sample(step, [float("nan")] * 4),
                         trainer.sample(step, [float("inf"), -float("inf")], Trainer.DENSE),
                         trainer.scalar(step, "loss", float("nan")), trainer.step_end(step, 3))
        trainer.settle()
        wait_for(lambda: {"gradient_nonfinite", "loss_nonfinite"} <=
                 {alert["detector"] for alert in daemon.ask("alerts", "nan")}, "the alerts")


def test_nan_in_the_moments_is_rejected(daemon, beside):
    with daemon.trainer("nan") as trainer:
        for field in ("min", "max", "sum", "absolute_sum", "square_sum"):
            message = trainer.sample(0, [1.0, 2.0])
            setattr(message.summary, field, float("nan"))
            must_reject(trainer, message, INVALID, "")
    assert daemon.status()["rejected"] == 5


def test_counts_that_do_not_add_up_are_rejected(daemon, beside):
    with daemon.trainer("sums") as trainer:
        message = trainer.sample(0, [1.0, 2.0])
        message.summary.count = 2**64 - 1
        must_reject(trainer, message, INVALID, "")
        message = trainer.sample(0, [1.0, 2.0])
        message.summary.positive_first = 2**32 - 1
        must_reject(trainer, message, INVALID, "")


def test_an_empty_tensor_is_taken_or_rejected_clearly(daemon, beside):
    with daemon.trainer("empty") as trainer:
        trainer.send(trainer.sample(0, []), trainer.step_end(0))
        assert all(m.reason == INVALID and m.detail for m in trainer.settle())
        trainer.step(1)
        assert trainer.settle() == []


def test_a_layer_posted_before_it_was_declared_is_rejected(daemon, beside):
    with daemon.trainer("early") as trainer:
        must_reject(trainer, trainer.sample(0, [1.0], target=77), UNKNOWN, "declared")
        trainer.send(proto.Layers(layers=[proto.Layer(id=77, path="late", kind=2)]))
        trainer.send(trainer.sample(0, [1.0], target=77))
        assert trainer.settle() == []


def test_a_step_going_backwards_is_rejected_as_late(daemon, beside):
    with daemon.trainer("back") as trainer:
        for step in range(10):
            trainer.step(step)
        assert trainer.settle() == []
        wait_for(lambda: daemon.ask("runs")[-1]["step"] == 9, "the step to close")
        must_reject(trainer, trainer.sample(3, [1.0]), LATE, "closed")
        trainer.step(10)
        assert trainer.settle() == []


def test_values_out_of_range_are_rejected(daemon, beside):
    with daemon.trainer("range") as trainer:
        must_reject(trainer, trainer.sample(0, [1.0], signal=99), INVALID, "")
        must_reject(trainer, trainer.sample(0, [1.0], phase=9), INVALID, "")
        must_reject(trainer, trainer.sample(2**53 + 1, [1.0]), INVALID, "")
        must_reject(trainer, trainer.scalar(0, "", 1.0), INVALID, "")
        must_reject(trainer, trainer.scalar(0, "a\nb", 1.0), INVALID, "")


def test_a_message_only_the_daemon_sends_is_refused(daemon, beside):
    with daemon.trainer("mirror") as trainer:
        trainer.send(proto.Ack(kept=5))
        assert [m.reason for m in trainer.receive_to_end()] == [REFUSED]


def test_a_flood_of_queries_does_not_become_memory(daemon, beside):
    with daemon.peer() as peer:
        peer.socket.settimeout(5)
        try:
            for _ in range(200):
                peer.send_bytes(encode(proto.Query(name="layers", run="healthy")) * 1000)
        except OSError:
            pass  # given up: right
    status = open(f"/proc/{daemon.process.pid}/status").read()
    peak_kb = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kb < 200 << 10


def test_a_peer_that_says_nothing_is_let_go(daemon, beside):
    with daemon.peer() as silent:
        with pytest.raises(Closed):
            silent.receive()  # after the 5 s a handshake may take
