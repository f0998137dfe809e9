"""Beyond Unix sockets: tcp, the token that both ends prove, and who is kept out."""

import hashlib
import hmac
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

import harness
import trainers
from harness import (EMBMOND, ROOT, WITHOUT_PRELOAD, Closed, Peer, frame, proto,
                     wait_for)
from trainers import Load, conserve, load, until

sys.path.insert(0, str(ROOT / "client" / "python"))

import embmon  # noqa: E402

CHALLENGE, PROOF = 18, 19
TOKEN = b"a token of the tests, 41 bytes of letters"


@pytest.fixture
def token(tmp_path):
    return write_token(tmp_path / "token", TOKEN + b"\n")


def write_token(path, data, mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)
    return path


class TcpPeer(Peer):
    """A Peer over tcp that can prove a token, any token."""

    def __init__(self, address, timeout=harness.TIMEOUT, source=None):
        """source: an address of 127.0.0.0/8 to come from, another machine for embmond."""
        self.socket = socket.create_connection(where(address), timeout, (source or "", 0))
        self.received = b""

    def receive_raw(self):
        """(type, payload) of the next frame; Closed when there is none."""
        while len(self.received) < 16 or len(self.received) < 16 + self._length():
            try:
                data = self.socket.recv(1 << 16)
            except (ConnectionResetError, BrokenPipeError):
                data = b""
            if not data:
                raise Closed()
            self.received += data
        number, length = struct.unpack_from("<H", self.received, 6)[0], self._length()
        payload, self.received = self.received[16:16 + length], self.received[16 + length:]
        return number, payload

    def challenged(self):
        number, nonce = self.receive_raw()
        assert (number, len(nonce)) == (CHALLENGE, 32)
        return nonce

    def prove(self, token, mine=None):
        """As a client that knows this token; asserts that the daemon knows it, too."""
        theirs, mine = self.challenged(), mine or os.urandom(32)
        self.send_bytes(frame(PROOF, mine + proof(token, b"client", theirs + mine)))
        number, mac = self.receive_raw()
        if number != PROOF:
            raise Closed(proto.Nack.FromString(mac).detail)
        assert mac == proof(token, b"server", theirs + mine)
        return self


def proof(token, end, nonces):
    return hmac.new(token, b"embmon " + end + nonces, hashlib.sha256).digest()


def where(address):
    host, port = address.removeprefix("tcp:").rsplit(":", 1)
    return host.strip("[]"), int(port)


class TcpDaemon(trainers.Embmond):
    """An embmond at a free port of 127.0.0.1, and at its socket; started again it has the same
    port."""

    def __init__(self, *options, host="127.0.0.1", **named):
        super().__init__("--listen", f"tcp:{host}:0", *options, **named)

    def start(self):
        super().start()
        wait_for(lambda: self.lines("listening on tcp:"), "the port")
        self.tcp = re.findall(r"listening on (tcp:\S+:\d+),", self.log())[-1]
        self.arguments = [self.tcp if x.startswith("tcp:") else x for x in self.arguments]
        return self


@pytest.fixture
def guarded(token):
    with TcpDaemon("--token-file", token) as daemon:
        yield daemon


def ctl(address, *arguments, **env):
    return subprocess.run([harness.EMBMONCTL, "--address", address, *arguments], text=True,
                          capture_output=True, timeout=20, check=False, env=os.environ | env)


# ---- trainers

def test_two_ranks_over_tcp_are_merged(guarded, token):
    options = {"EMBMON_TOKEN_FILE": str(token)}
    with Load(guarded.tcp, "--rank", "0", "--world", "2", **options) as first, \
            Load(guarded.tcp, "--rank", "1", "--world", "2", **options) as second:
        assert first.run() == second.run() == "load"
        first.steps(0, 9)
        second.steps(0, 9)
        first.settle(), second.settle()
        assert guarded.run()["ranks"] == 2
        first.end(), second.end()
    shown = guarded.recorded()
    assert [value for _, value in shown.scalars["embmond/ranks"]] == [2.0] * 10
    assert [value for _, value in shown.scalars["gradient_norm/layer_00"]] == pytest.approx(
        [trainers.NORM] * 10, rel=1e-5)


def test_one_rank_over_tcp_and_one_at_the_socket_are_one_run(guarded, token):
    with Load(guarded.tcp, "--rank", "0", "--world", "2", EMBMON_TOKEN_FILE=str(token)) as first, \
            Load(guarded.address, "--rank", "1", "--world", "2") as second:
        assert first.run() == second.run() == "load"
        first.steps(0, 3)
        second.steps(0, 3)
        guarded.await_step(3)
        assert guarded.run()["ranks"] == 2


def test_a_trainer_over_tcp_goes_on_when_the_daemon_dies_and_comes_back(token):
    with TcpDaemon("--token-file", token) as daemon, \
            Load(daemon.tcp, EMBMON_TOKEN_FILE=str(token)) as trainer:
        trainer.steps(0, 9)
        trainer.settle()
        daemon.kill()
        trainer.steps(10, 19)
        before = daemon.tcp
        daemon.start()
        assert daemon.tcp == before
        trainer.steps(20, 29)
        counts = trainer.settle()
        assert counts["reconnects"] >= 1 and counts["dropped"] == 0
        conserve(trainer.end())
        assert "lost the daemon at tcp:127.0.0.1:" in trainer.stderr
        assert "is there; run load; nothing was dropped" in trainer.stderr


def test_a_daemon_that_does_not_answer_any_more_is_left_and_found_again(token):
    """As when its machine is gone: nothing closes the connection."""
    with TcpDaemon("--token-file", token) as daemon, \
            Load(daemon.tcp, EMBMON_TOKEN_FILE=str(token)) as trainer:
        trainer.steps(0, 0)
        trainer.settle()
        daemon.signal(signal.SIGSTOP)
        time.sleep(11.5)
        assert trainer.counts()["connected"] == 0
        trainer.steps(1, 1)
        daemon.signal(signal.SIGCONT)
        counts = trainer.settle()
        assert counts["reconnects"] == 1 and counts["dropped"] == 0
        trainer.end()
        assert "nothing was heard from it for 10 s" in trainer.stderr


def test_python_and_a_name_of_this_machine(guarded, token):
    port = where(guarded.tcp)[1]
    client = embmon.Client(run="named", address=f"tcp:localhost:{port}", token_file=token)
    client.layer("table", "embedding", rows=10, columns=2)
    client.step(0)
    until(lambda: client.stats().acked == 1, "the acknowledgement")
    assert client.close(timeout=2.0) == 0


def test_embmonctl_asks_over_tcp(guarded, token):
    done = ctl(guarded.tcp, "--token-file", str(token), "status")
    assert done.returncode == 0 and guarded.tcp in done.stdout
    assert ctl(guarded.tcp, "status", EMBMON_TOKEN_FILE=str(token)).returncode == 0
    done = ctl(guarded.tcp, "status", EMBMON_TOKEN_FILE="")
    assert done.returncode == 69 and "it wants a token: give --token-file" in done.stderr
    other = write_token(token.parent / "other", b"another token of the tests")
    done = ctl(guarded.tcp, "--token-file", str(other), "status")
    assert done.returncode == 69 and "its token is not the one of this daemon" in done.stderr


def test_a_command_is_given_the_port_and_the_token(token, tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("EMBMON_")}
    done = subprocess.run(
        [EMBMOND, "-l", tmp_path / "runs", "--listen", "tcp:127.0.0.1:0", "--token-file",
         os.path.relpath(token, tmp_path), "--", "sh", "-c",
         f'cd /; echo $EMBMON_TOKEN_FILE; {harness.EMBMONCTL} status'],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(token)) and "tcp:127.0.0.1:" in done.stdout


# ---- the token

@pytest.mark.parametrize("wrong", [
    b"another token, of the length of the other", TOKEN[:16], TOKEN[:-1], TOKEN + b"s",
    TOKEN + b"\n", b"", bytes(41)])
def test_another_token_is_refused(guarded, wrong):
    with TcpPeer(guarded.tcp) as peer:
        with pytest.raises(Closed, match="its token is not the one of this daemon"):
            peer.prove(wrong)
    assert guarded.status()["failed_proofs"] == 1
    assert len(guarded.lines("its proof of the token is wrong")) == 1


def test_a_proof_is_worth_nothing_a_second_time(guarded):
    with TcpPeer(guarded.tcp) as peer:
        nonce, mine = peer.challenged(), os.urandom(32)
        said = frame(PROOF, mine + proof(TOKEN, b"client", nonce + mine))
        peer.send_bytes(said)
        number, answer = peer.receive_raw()
        assert number == PROOF
    for again in (said, frame(PROOF, mine + answer), frame(PROOF, answer)):
        with TcpPeer(guarded.tcp) as peer:
            assert peer.challenged() != nonce
            peer.send_bytes(again)
            assert [m.DESCRIPTOR.name for m in peer.receive_to_end()] == ["Nack"]
    assert guarded.status()["failed_proofs"] == 3


def test_every_truncated_proof_is_refused(guarded):
    for length in range(64):
        with TcpPeer(guarded.tcp, source=f"127.0.0.{2 + length}") as peer:
            nonce, mine = peer.challenged(), os.urandom(32)
            peer.send_bytes(frame(PROOF, (mine + proof(TOKEN, b"client", nonce + mine))[:length]))
            assert [m.DESCRIPTOR.name for m in peer.receive_to_end()] == ["Nack"]
    assert guarded.status()["failed_proofs"] == 64


def test_a_hello_without_a_proof_makes_no_run(guarded):
    with TcpPeer(guarded.tcp) as peer:
        peer.challenged()
        peer.send(proto.Hello(protocol_min=1, protocol_max=1, session=bytes(16), name="run",
                              world_size=1), proto.Query(name="status"))
        nack, = peer.receive_to_end()
        assert nack.reason == 5 and "EMBMON_TOKEN_FILE" in nack.detail
    assert guarded.ask("runs") == [] and not (guarded.logdir / "run").exists()


def test_the_socket_needs_no_proof(guarded):
    with guarded.trainer() as trainer:
        assert trainer.run == "run"


def test_a_proof_is_due_within_5_seconds(guarded):
    began = time.monotonic()
    with TcpPeer(guarded.tcp) as peer:
        peer.challenged()
        assert peer.receive_to_end() == []
    assert 4.5 < time.monotonic() - began < 8


def test_64_who_have_proven_nothing_and_no_more(guarded):
    waiting = [TcpPeer(guarded.tcp) for _ in range(64)]
    try:
        for peer in waiting:
            peer.challenged()
        with TcpPeer(guarded.tcp) as late, pytest.raises(Closed):
            late.challenged()
        assert len(guarded.lines("too many others have not proven the token yet")) == 1
        with guarded.trainer() as trainer:  # the socket is not concerned
            trainer.step(0)
            trainer.settle()
        waiting.pop().close()
        wait_for(lambda: proven(guarded), "a place")
    finally:
        for peer in waiting:
            peer.close()


def test_10_failures_of_a_machine_then_one_a_second(guarded):
    def fail(source):
        with TcpPeer(guarded.tcp, source=source) as peer:
            peer.challenged()

    for _ in range(10):
        fail("127.0.0.9")
    wait_for(lambda: limit(guarded, "failed_proofs")["used"] >= 9, "them to be counted")
    with TcpPeer(guarded.tcp, source="127.0.0.9") as late, pytest.raises(Closed):
        late.challenged()
    assert len(guarded.lines("too many before it did not prove the token")) == 1
    assert limit(guarded, "failed_proofs")["refused"] >= 1
    with TcpPeer(guarded.tcp, source="127.0.0.8") as other:  # another machine is not concerned
        other.prove(TOKEN)
    assert wait_for(lambda: proven(guarded, "127.0.0.9"), "its turn", 5)
    for _ in range(20):  # who has proven it is heard, whatever others do there
        fail("127.0.0.9")
    assert proven(guarded, "127.0.0.9")


def limit(daemon, name):
    return daemon.status()["limits"][name]


def test_limits_of_the_file_hold_over_tcp(token, tmp_path):
    config = tmp_path / "embmond.yaml"
    config.write_text(f"token_file: {token}\nlimits: {{tcp_connections: 3, unproven_connections: 2,"
                      " failed_proofs: 1000, handshake_seconds: 2}\n")
    with TcpDaemon("-c", config) as daemon:
        in_first, in_second = TcpPeer(daemon.tcp), TcpPeer(daemon.tcp)
        in_first.challenged(), in_second.challenged()
        with TcpPeer(daemon.tcp) as late, pytest.raises(Closed):
            late.challenged()
        assert limit(daemon, "unproven_connections") == {"used": 2, "limit": 2, "refused": 1}
        began = time.monotonic()
        assert in_first.receive_to_end() == [] and time.monotonic() - began < 4
        in_first.close(), in_second.close()
        wait_for(lambda: limit(daemon, "tcp_connections")["used"] == 0, "the places")
        inside = [TcpPeer(daemon.tcp).prove(TOKEN) for _ in range(3)]
        with TcpPeer(daemon.tcp) as late, pytest.raises(Closed):
            late.challenged()
        assert limit(daemon, "tcp_connections") == {"used": 3, "limit": 3, "refused": 1}
        assert daemon.lines("3 connections over tcp are open")
        with daemon.trainer():  # the socket is not concerned
            for peer in inside:
                peer.close()


def proven(daemon, source=None):
    try:
        with TcpPeer(daemon.tcp, source=source) as peer:
            return peer.prove(TOKEN)
    except Closed:
        return False


def test_the_token_is_read_again(guarded, token):
    write_token(token, b"the next token of the tests")
    guarded.signal(signal.SIGHUP)
    wait_for(lambda: guarded.lines("was read again"), "the reload")
    assert not proven(guarded)
    with TcpPeer(guarded.tcp) as peer:
        peer.prove(b"the next token of the tests")
    token.chmod(0o644)
    guarded.signal(signal.SIGHUP)
    wait_for(lambda: guarded.lines("the old token is kept"), "the complaint")
    with TcpPeer(guarded.tcp) as peer:
        peer.prove(b"the next token of the tests")


# ---- the client looks, too

class FakeDaemon:
    """Answers one connection with what `serve(socket)` does."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.heard = b""
        self.thread = threading.Thread(target=self._run, args=(serve,), daemon=True)
        self.thread.start()

    def _run(self, serve):
        peer, _ = self.listener.accept()
        with peer:
            peer.settimeout(10)
            self.heard = serve(peer)

    def close(self):
        self.thread.join(20)
        self.listener.close()


def hear(peer):
    """All that comes within a second."""
    peer.settimeout(1)
    data = b""
    try:
        while more := peer.recv(65536):
            data += more
    except (TimeoutError, ConnectionError):
        pass
    return data


def guess(peer):
    peer.sendall(frame(CHALLENGE, bytes(32)))
    assert len(peer.recv(16 + 64, socket.MSG_WAITALL)) == 16 + 64
    peer.sendall(frame(PROOF, bytes(32)))
    return hear(peer)


def echo(peer):
    peer.sendall(frame(CHALLENGE, bytes(32)))
    said = peer.recv(16 + 64, socket.MSG_WAITALL)
    peer.sendall(frame(PROOF, said[16 + 32:]))
    return hear(peer)


def welcome_at_once(peer):
    peer.sendall(harness.encode(proto.Welcome(protocol=1, run="run", every=1, frame_limit=1 << 20)))
    return hear(peer)


@pytest.mark.parametrize("serve", [guess, echo, welcome_at_once])
def test_a_client_says_nothing_to_a_daemon_that_cannot_prove_itself(serve, token):
    fake = FakeDaemon(serve)
    counts, stderr = load(fake.address, "--steps", "5", "--drain", "1500",
                          EMBMON_TOKEN_FILE=str(token))
    fake.close()
    assert fake.heard == b""
    assert counts["acked"] == 0
    assert "does not prove that it knows our token: whoever is there is not our daemon" in stderr


def test_a_client_with_a_token_does_not_talk_to_an_open_daemon(token):
    with TcpDaemon() as daemon:
        _, stderr = load(daemon.tcp, "--steps", "5", "--drain", "6000",
                         EMBMON_TOKEN_FILE=str(token))
        assert "it does not ask for the token" in stderr
        assert daemon.ask("runs") == []


def test_a_client_without_the_token_is_told_what_is_missing(guarded):
    _, stderr = load(guarded.tcp, "--steps", "5", "--drain", "1500", EMBMON_TOKEN_FILE="")
    assert "it wants a token: name its file in EMBMON_TOKEN_FILE" in stderr


# ---- starting

def must_fail(status, words, *arguments):
    done = subprocess.run([EMBMOND, *arguments], capture_output=True, text=True, timeout=10,
                          check=False)
    assert done.returncode == status, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1"])
def test_beyond_this_machine_nothing_is_bound_without_a_token(host, tmp_path):
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-e", "trace=bind,listen", "-o", trace]
    for test in ([], ["-t"]):
        done = subprocess.run([*strace, EMBMOND, *test, "-l", tmp_path / "runs",
                               "--listen", f"unix:{tmp_path}/s", "--listen", f"tcp:{host}:0"],
                              capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 64
        assert f"tcp:{host}:0: other machines can reach it, and there is no token" in done.stderr
        assert "give --token-file FILE" in done.stderr
        assert not (tmp_path / "s").exists()
        assert "bind(" not in trace.read_text()


def test_with_a_token_all_interfaces_are_served(token):
    with TcpDaemon("--token-file", token, host="0.0.0.0") as daemon:
        assert ctl(f"tcp:127.0.0.1:{where(daemon.tcp)[1]}", "status",
                   EMBMON_TOKEN_FILE=str(token)).returncode == 0


def test_without_a_token_this_machine_is_served_with_a_warning():
    with TcpDaemon() as daemon:
        assert ctl(daemon.tcp, "status", EMBMON_TOKEN_FILE="").returncode == 0
        assert daemon.lines("has no token: every user of this machine can post there")


def test_a_taken_port_is_69(token):
    with TcpDaemon() as daemon:
        must_fail(69, [daemon.tcp, "the port is taken"], "-l", daemon.logdir, "--listen", daemon.tcp)


@pytest.mark.parametrize("data, mode, word", [
    (TOKEN, 0o640, "chmod 600"), (TOKEN, 0o604, "chmod 600"), (b"", 0o600, "less than 16 bytes"),
    (b"x" * 15 + b"\n", 0o600, "less than 16 bytes"), (b"x" * 4097, 0o600, "more than 4,096 bytes")])
def test_a_bad_token_file_is_78(tmp_path, data, mode, word):
    path = write_token(tmp_path / "token", data, mode)
    for test in ([], ["-t"]):
        must_fail(78, [str(path), word], *test, "-l", tmp_path, "--listen", "tcp:127.0.0.1:0",
                  "--token-file", path)


def test_token_files_of_0600_and_0400_are_fine(tmp_path):
    for mode in (0o600, 0o400):
        path = write_token(tmp_path / f"token{mode}", TOKEN, mode)
        done = subprocess.run([EMBMOND, "-t", "--listen", "tcp:0.0.0.0:0", "--token-file", path],
                              capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0, done.stderr


def test_a_configuration_file_names_port_and_token(token, tmp_path):
    config = tmp_path / "embmond.yaml"
    config.write_text(f"listen:\n  - tcp:127.0.0.1:0\ntoken_file: {token}\n")
    with harness.Daemon("-c", config, listen=False) as daemon:
        tcp = re.search(r"listening on (tcp:\S+:\d+),", daemon.log())[1]
        with TcpPeer(tcp) as peer:
            peer.prove(TOKEN)


# ---- strangers

def test_a_browser_is_dropped_at_once_and_named_once_a_minute(guarded):
    port = where(guarded.tcp)[1]
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(Exception):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
        assert time.monotonic() - began < 2
    verbs = ("GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE")
    for verb in verbs:
        done = subprocess.run(["curl", "-s", "-m", "10", "-X", verb, f"http://127.0.0.1:{port}/"],
                              capture_output=True, timeout=15, check=False, env=WITHOUT_PRELOAD)
        assert done.returncode not in (0, 28)  # 28: it waited in vain
    line, = guarded.lines("it speaks HTTP (GET)")
    assert "a connection from tcp:127.0.0.1:" in line
    assert not guarded.lines("(POST)")
    assert guarded.status()["invalid_frames"] == 3 + len(verbs)


@pytest.mark.parametrize("first, said", [
    (b"POST / HTTP/1.1\r\n", "HTTP (POST)"), (b"OPTIONS * HTTP/1.1\r\n", "HTTP (OPTIONS)"),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00", "TLS"), (b"SSH-2.0-x\r\n", "SSH"), (b"hello", "does not speak")])
def test_a_stranger_is_named(guarded, first, said):
    with TcpPeer(guarded.tcp) as peer:
        peer.challenged()
        peer.send_bytes(first)
        assert peer.receive_to_end() == []
    assert len(guarded.lines(said)) == 1


# ---- what is sent

class Meter:
    """Passes one connection on to an address and counts the bytes of the client's end."""

    def __init__(self, to):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sent, self.to = 0, to
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        client, _ = self.listener.accept()
        daemon = socket.create_connection(where(self.to))
        threading.Thread(target=self._pass, args=(daemon, client, False), daemon=True).start()
        self._pass(client, daemon, True)

    def _pass(self, source, sink, count):
        try:
            while data := source.recv(65536):
                self.sent += len(data) * count
                sink.sendall(data)
        except OSError:
            pass
        sink.close()


def test_a_models_layers_are_deflated():
    """2,000 layers with paths as models have them."""
    plain = sum(2 + len(proto.Layer(
        id=i, path=f"encoder/block_{i // 10}/layer_{i}", kind=2, trainable=True).SerializeToString())
        for i in range(2000))
    with TcpDaemon() as daemon:
        meter = Meter(daemon.tcp)
        client = embmon.Client(run="deep", address=meter.address)
        for i in range(2000):
            client.layer(f"encoder/block_{i // 10}/layer_{i}", "dense")
        client.step(0)
        until(lambda: client.stats().acked == 1, "the acknowledgement")
        client.close()
        assert len(daemon.ask("layers", "deep")) == 2000
        assert 0 < meter.sent < plain / 2
