"""Webhooks against receivers that are well, and against all others."""
import os
import re
import ssl
import subprocess
import time

import pytest

from harness import EMBMOND, wait_for
from receiver import NAN, Patient, Receiver, sinks, webhook


def sink(daemon, index=0):
    return daemon.status()["sinks"][index]


def test_the_api_is_told_that_it_fires_and_that_it_is_over(daemons, tmp_path):
    with Receiver() as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)))
        patient = Patient(daemon, "reviews")
        patient.fall_ill()
        (fires,) = receiver.wait_for(1)
        patient.get_well()
        (over,) = receiver.wait_for(2)
        path, headers, _ = receiver.posts[0]
        assert path == "/api/v2/alerts"
        assert headers["Content-Type"] == "application/json"
        assert re.fullmatch(r"embmond/[\d.]+", headers["User-Agent"])
        written = daemon.alerts_file("reviews")[0]
        assert fires["labels"] == over["labels"] == {
            "alertname": "gradient_nonfinite", "run": "reviews", "phase": "training",
            "layer": "tower/embedding", "severity": "critical", "job": "embmond",
            "instance": os.uname().nodename}
        assert fires["annotations"]["summary"] == written["summary"]
        assert fires["annotations"]["description"] == written["hint"]
        assert (fires["annotations"]["step"], over["annotations"]["step"]) == ("0", "10")
        assert "endsAt" not in fires
        assert fires["startsAt"] == over["startsAt"] < over["endsAt"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", over["endsAt"])
        wait_for(lambda: sink(daemon)["delivered"] == 2, "the counts")
        assert sink(daemon) == {"name": "webhook", "kind": "webhook", "delivered": 2, "failed": 0,
                                "waiting": 0, "dropped": 0, "held": 0, "last_error": ""}


def test_what_fires_is_sent_again_and_so_is_that_it_is_over(daemons, tmp_path):
    with Receiver() as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver, resend=1)))
        patient = Patient(daemon)
        patient.fall_ill()
        receiver.wait_for(3)
        patient.get_well()
        wait_for(lambda: sum("endsAt" in a for a in receiver.alerts()) >= 2, "it twice")
        states = ["endsAt" in alert for alert in receiver.alerts()]
        assert states == sorted(states)  # once over it does not come back
        assert sink(daemon)["delivered"] == 2  # changes; repetitions do not count


@pytest.mark.parametrize("answer, error", [
    (500, "it answered 500"), (503, "it answered 503"), (401, "it answered 401"),
    (404, "it answered 404"), (429, "it answered 429"), ("hang", "[Tt]imed out|[Tt]imeout"),
    ("garbage", "HTTP/0.9|[Uu]nsupported|[Ww]eird|HTTP"), ("reset", "reset|broken|[Ee]mpty"),
    ("302 to http://127.0.0.1:1/", "it answered 302: redirects are not followed"),
    ("307 to file:///etc/passwd", "redirects are not followed")])
def test_a_sick_receiver_costs_a_counter_and_a_line(daemons, tmp_path, answer, error):
    with Receiver(answer) as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver, timeout=0.5)))
        patient = Patient(daemon)
        patient.fall_ill()
        wait_for(lambda: sink(daemon)["failed"] >= 2, "a second attempt")
        patient.post(*[0.5] * 5)  # training goes on meanwhile
        assert daemon.status()["acked"] == 4 * patient.step
        status = sink(daemon)
        assert (status["delivered"], status["waiting"], status["dropped"]) == (0, 1, 0)
        assert re.search(error, status["last_error"])
        receiver.answer = 200
        receiver.wait_for(1)
        wait_for(lambda: daemon.lines("delivering again"), "its recovery in the log")
        assert len(daemon.lines("cannot deliver")) == 1
        assert not receiver.posts[1:]


def test_one_that_was_down_gets_the_state_of_things(daemons, tmp_path):
    with Receiver() as receiver:
        receiver.stop()
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)))
        gone, there = Patient(daemon, "gone"), Patient(daemon, "there")
        gone.fall_ill()
        there.fall_ill()
        wait_for(lambda: sink(daemon)["failed"], "an attempt")
        gone.get_well()
        receiver.start()
        receiver.wait_for(1)
        wait_for(lambda: sink(daemon)["waiting"] == 0, "all to be told")
        assert sorted((a["labels"]["run"], "endsAt" in a) for a in receiver.alerts()) == \
            [("gone", True), ("there", False)]


@pytest.mark.parametrize("answer", [400, 413, 422])
def test_what_is_refused_for_good_is_not_sent_again(daemons, tmp_path, answer):
    with Receiver(answer) as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)))
        Patient(daemon).fall_ill()
        wait_for(lambda: sink(daemon)["dropped"] == 1, "it to be dropped")
        time.sleep(1.5)
        assert (receiver.tries, sink(daemon)["failed"], sink(daemon)["waiting"]) == (1, 1, 0)
        assert sink(daemon)["last_error"] == f"it answered {answer}"


def test_a_long_answer_is_not_listened_to(daemons, tmp_path):
    with Receiver("200 flood") as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)))
        patient = Patient(daemon)
        patient.fall_ill()
        receiver.wait_for(1)
        patient.get_well()
        receiver.wait_for(2)
        wait_for(lambda: sink(daemon)["delivered"] == 2, "the counts")
        assert sink(daemon)["failed"] == 0


def test_the_token_is_sent_and_read_again_when_it_is_refused(daemons, tmp_path):
    token = tmp_path / "token"
    token.write_text("token-of-old\n")

    def answer(request):
        return 200 if request.headers["Authorization"] == "Bearer token-of-now" else 401

    with Receiver(answer) as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver, token_file=str(token))))
        Patient(daemon).fall_ill()
        wait_for(lambda: sink(daemon)["failed"], "a refusal")
        assert not receiver.posts
        token.write_text("token-of-now")
        receiver.wait_for(1)
        assert "token-of" not in daemon.log()


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", folder / "key", "-out", folder / "certificate"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context


def test_a_certificate_nobody_vouches_for_is_not_trusted(daemons, tmp_path):
    with Receiver(context=certificate(tmp_path)) as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)))
        Patient(daemon).fall_ill()
        wait_for(lambda: sink(daemon)["failed"], "an attempt")
        assert "certificate" in sink(daemon)["last_error"]
        assert receiver.tries == 0


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]",
                                  "0.0.0.0", "0xa9fea9fe", "224.0.0.1", "[fd00:ec2::254]"])
def test_addresses_that_no_receiver_has_are_not_connected_to(daemons, tmp_path, host):
    daemon = daemons("--config", sinks(tmp_path, webhook(f"http://{host}/latest/meta-data")))
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["failed"], "an attempt", 3)
    assert "not connected to" in sink(daemon)["last_error"]


@pytest.mark.parametrize("host", ["0x7f.1", "127.1", "2130706433", "0177.0.0.1"])
def test_an_address_in_disguise_is_a_name_that_leads_home(daemons, tmp_path, host):
    with Receiver() as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(f"http://{host}:{receiver.port}")))
        Patient(daemon).fall_ill()
        wait_for(lambda: sink(daemon)["failed"], "an attempt", 3)
        assert sink(daemon)["last_error"].endswith("write localhost, or allow_private: true")
        assert receiver.tries == 0


HOME = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node && strstr(node, ".example") ? "127.0.0.1" : node, service, hints, found);
}
"""


@pytest.mark.parametrize("allowed", [False, True])
def test_a_name_that_leads_home_is_followed_where_the_file_allows_it(daemons, tmp_path, allowed):
    """As when who owns the name gives it another address from one look to the next."""
    source, library = tmp_path / "home.c", tmp_path / "home.so"
    source.write_text(HOME)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    options = {"allow_private": True} if allowed else {}
    with Receiver() as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(
            f"http://am.example:{receiver.port}", **options)), env={"LD_PRELOAD": str(library)})
        Patient(daemon).fall_ill()
        if allowed:
            receiver.wait_for(1)
        else:
            wait_for(lambda: sink(daemon)["failed"], "an attempt", 3)
            assert "stands for this machine: not connected to" in sink(daemon)["last_error"]
            assert receiver.tries == 0


SLOW_NAMES = """
#include <netdb.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)node, (void)service, (void)hints, (void)found;
    sleep(8);
    return EAI_AGAIN;
}
"""


def test_names_that_nobody_resolves_hold_up_nothing(daemons, tmp_path):
    source, library = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW_NAMES)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    daemon = daemons("--config", sinks(tmp_path, webhook("http://receiver.example/", timeout=0.5)),
                     env={"LD_PRELOAD": str(library)})
    patient = Patient(daemon)
    patient.fall_ill()
    slowest = 0
    while not sink(daemon)["failed"]:
        started = time.monotonic()
        patient.post(0.5)
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 1
    started = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - started < 4


def test_proxies_of_the_environment_are_not_used(daemons, tmp_path):
    with Receiver() as receiver, Receiver() as proxy:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)),
                         env={"http_proxy": proxy.url, "ALL_PROXY": proxy.url})
        Patient(daemon).fall_ill()
        receiver.wait_for(1)
        assert proxy.tries == 0


def start(config, **env):
    return subprocess.run([EMBMOND, "-l", config.parent / "runs", "--config", config, "--", "true"],
                          capture_output=True, text=True, timeout=20, env=os.environ | env)


def test_a_missing_library_is_69_and_says_what_to_install(tmp_path):
    broken = tmp_path / "lib"
    broken.mkdir()
    (broken / "libcurl.so.4").write_text("this is no library")
    config = sinks(tmp_path, webhook("http://127.0.0.1:1/", name="pager"))
    done = start(config, LD_LIBRARY_PATH=str(broken))
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1
    assert "sink pager" in done.stderr and "install the package libcurl4" in done.stderr
    assert not (tmp_path / "runs").exists()
    assert start(sinks(tmp_path), LD_LIBRARY_PATH=str(broken)).returncode == 0  # nor is it needed


def test_embmond_is_not_linked_with_it():
    needed = subprocess.run(["readelf", "-d", EMBMOND], capture_output=True, text=True, check=True)
    assert "libcurl" not in needed.stdout


@pytest.mark.parametrize("content", [None, "", "two words", "snow\u2603", "x" * 5000])
def test_a_bad_token_file_is_78(tmp_path, content):
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    done = start(sinks(tmp_path, webhook("http://127.0.0.1:1/", token_file=str(token))))
    assert done.returncode == 78
    assert str(token) in done.stderr


def test_a_hanging_receiver_does_not_hold_up_the_end(daemons, tmp_path):
    with Receiver("hang") as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver, timeout=30)))
        Patient(daemon).fall_ill()
        wait_for(lambda: receiver.tries, "an attempt")
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 5
        assert daemon.lines("sink webhook: the newest state of 1 alert was not delivered")


def test_one_that_is_down_does_not_hold_up_the_end_at_all(daemons, tmp_path):
    daemon = daemons("--config", sinks(tmp_path, webhook("http://127.0.0.1:1/")))
    Patient(daemon).fall_ill()
    wait_for(lambda: sink(daemon)["failed"], "an attempt")
    started = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - started < 1.5


def test_an_alert_is_as_it_is_posted_whatever_its_layer_is_called(daemons, tmp_path):
    with Receiver() as receiver:
        daemon = daemons("--config", sinks(tmp_path, webhook(receiver)))
        from harness import Trainer, proto

        trainer = Trainer(daemon.socket, "names")
        name = "\u00e4\u2603 \"quoted\" \\ $(touch x) <b>&amp;"
        trainer.send(proto.Layers(layers=[proto.Layer(id=7, path=name, kind=1, trainable=True,
                                                      rows=9, columns=1, dtype=1)]))
        trainer.send(trainer.sample(0, [NAN], target=7), trainer.step_end(0))
        assert receiver.wait_for(1)[0]["labels"]["layer"] == name
