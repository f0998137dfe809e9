"""What a connection may do to the daemon: little."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from harness import Closed, encode, frame, proto, wait_for


def test_more_than_1024_connections_are_turned_away(daemon):
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("needs 2,048 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    peers = []
    try:
        for _ in range(1024):
            peers.append(daemon.peer())
        with daemon.peer() as extra, pytest.raises(Closed):
            extra.receive()
        assert len(daemon.lines("1024 connections")) == 1
        peers.pop().close()
        # the place is free again; those that are in go on
        assert wait_for(lambda: daemon.ctl("status").returncode == 0, "the place")
        assert peers[0].query("runs") == (0, [])
    finally:
        for peer in peers:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_file_descriptor_left_is_no_reason_to_spin(daemons):
    def limit():
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (28, 28))

    daemon = daemons(preexec_fn=limit)
    trainer = daemon.trainer("first")
    trainer.step(0)
    trainer.settle()
    peers = [daemon.peer() for _ in range(40)]
    with pytest.raises((Closed, TimeoutError)):
        peers[-1].receive()
    fields = open(f"/proc/{daemon.process.pid}/stat").read().rsplit(")", 1)[1].split()
    time.sleep(1)
    after = open(f"/proc/{daemon.process.pid}/stat").read().rsplit(")", 1)[1].split()
    assert int(after[11]) + int(after[12]) - int(fields[11]) - int(fields[12]) < 20  # of 100
    trainer.step(1)
    assert trainer.settle() == []
    for peer in peers:
        peer.close()
    assert wait_for(lambda: daemon.ctl("status").returncode == 0, "room again")


def test_another_user_s_connection_is_refused(daemon):
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    daemon.folder.chmod(0o755)
    daemon.socket.chmod(0o666)
    script = ("import os, socket, sys; os.setgid(65534); os.setuid(65534); "
              "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(10); "
              "sys.exit(0 if s.recv(1) == b'' else 1)")
    assert subprocess.run([sys.executable, "-c", script, str(daemon.socket)], timeout=20,
                          check=False).returncode == 0
    assert len(daemon.lines("another user")) == 1


def test_a_peer_that_does_not_read_is_given_up(daemon):
    """Posts without reading the acks: the daemon neither blocks nor keeps them."""
    deaf = daemon.trainer("deaf")
    deaf.socket.settimeout(5)
    beat = encode(proto.Heartbeat()) * 1000
    with pytest.raises(OSError):
        for _ in range(10000):
            deaf.send_bytes(beat)
    assert len(daemon.lines("does not read")) == 1
    with daemon.trainer("well") as well:
        well.step(0)
        assert well.settle() == []


def held(daemon):
    return daemon.status()["limits"]["buffer_bytes"]


def test_long_frames_wait_where_all_together_are_too_long(daemons, tmp_path):
    """Eight peers of a 4 MiB frame each with room for four: none is lost, the others notice
    nothing."""
    config = tmp_path / "embmond.yaml"
    config.write_text("limits: {buffer_bytes: 16777216}\n")
    daemon = daemons("-c", config)
    trainers = [daemon.trainer(f"run{i}") for i in range(8)]
    beside, lost, long = daemon.trainer("beside"), [], frame(999, bytes(4 << 20))

    def post(trainer):
        for step in range(3):
            trainer.send_bytes(long)
            trainer.step(step)
            lost.extend(trainer.settle())

    threads = [threading.Thread(target=post, args=(trainer,), daemon=True) for trainer in trainers]
    for thread in threads:
        thread.start()
    most, step = 0, 0
    while any(thread.is_alive() for thread in threads):
        beside.step(step)
        lost.extend(beside.settle())
        most, step = max(most, held(daemon)["used"]), step + 1
    assert not lost and daemon.status()["unknown_frames"] == 24
    # A frame that goes on above it, and a read of each of the others.
    assert most < (16 << 20) + (4 << 20) + 8 * (128 << 10)
    assert held(daemon)["refused"] > 0
    wait_for(lambda: held(daemon)["used"] == 0, "all to be given back")


def test_answers_that_nobody_reads_do_not_become_memory(daemons, tmp_path):
    config = tmp_path / "embmond.yaml"
    config.write_text("limits: {buffer_bytes: 16777216}\n")
    daemon = daemons("-c", config)
    with daemon.trainer("big") as trainer:
        trainer.send(proto.Layers(layers=[
            proto.Layer(id=10 + i, path=f"layer_{i}_" + "x" * 200, kind=2) for i in range(4000)]))
        trainer.step(0)
        trainer.settle()
        deaf = [daemon.peer() for _ in range(5)]
        for peer in deaf:  # some 5 MB for each
            peer.send(proto.Query(name="layers", run="big"))
        wait_for(lambda: daemon.lines("limits.buffer_bytes is reached"), "one to be given up")
        assert held(daemon)["used"] <= 16 << 20
        trainer.step(1)
        assert trainer.settle() == []
        for peer in deaf:
            peer.close()


def test_a_rank_too_far_ahead_waits_and_loses_nothing(daemon):
    with daemon.trainer(world_size=2) as first, daemon.trainer(rank=1, world_size=2) as second:
        for step in range(40):
            first.step(step)
            second.send(proto.Heartbeat())
        first.send(proto.Heartbeat())
        for step in range(40):
            second.step(step)
        for trainer in first, second:
            assert [m for m in trainer.settle() if m.DESCRIPTOR.name == "Nack"] == []
        wait_for(lambda: daemon.ask("runs")[0]["step"] == 39, "the last step")
        run = daemon.ask("runs")[0]
        assert (run["acked"], run["rejected"], run["ranks"]) == (320, 0, 2)


def test_frames_may_come_in_any_cut(daemon):
    with daemon.peer() as peer:
        data = encode(proto.Query(name="status"))
        for byte in data[:-1]:
            peer.send_bytes(bytes([byte]))
        peer.send_bytes(data[-1:])
        assert peer.receive_until("Reply").last


def test_an_answer_larger_than_the_socket_arrives_whole(daemon):
    with daemon.trainer("big") as trainer:
        for first in range(0, 4000, 500):
            trainer.send(proto.Layers(layers=[
                proto.Layer(id=10 + i, path=f"layer_{i}_" + "x" * 200, kind=2, trainable=True)
                for i in range(first, first + 500)]))
        trainer.step(0)
        trainer.settle()
        layers = daemon.ask("layers")
        assert len(layers) == 4002
        assert layers[-1]["layer"].startswith("layer_3999_")


def test_a_peer_that_asks_again_and_again_does_not_become_memory(daemon):
    with daemon.trainer("big") as trainer:
        trainer.send(proto.Layers(layers=[
            proto.Layer(id=10 + i, path=f"layer_{i}_" + "x" * 200, kind=2) for i in range(1000)]))
        trainer.step(0)
        trainer.settle()
        with daemon.peer() as peer:
            peer.socket.settimeout(5)
            try:
                for _ in range(10):
                    peer.send_bytes(encode(proto.Query(name="layers", run="big")) * 2000)
            except OSError:
                pass  # given up, rightly
        wait_for(lambda: daemon.status()["pid"], "an answer")
        status = open(f"/proc/{daemon.process.pid}/status").read()
        assert int(status.split("VmHWM:")[1].split()[0]) < 100 << 10  # kB
