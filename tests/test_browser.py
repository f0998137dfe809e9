"""TensorBoard's pages in a real browser, over a run with two nested tables, one of which is sick."""
import os
import sys

import numpy
import pytest

from browser import Browser, TensorBoard
from harness import BUILD, ROOT, Daemon
from receiver import Receiver, sinks, webhook

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402

TABLES = "inner_model/embedding", "inner_model/embedding_1"
STEPS, SICK = 60, 40
TENSORBOARD = "http://tensorboard.example:6006/"


def train(client):
    """Two tables and a layer behind them; from step SICK on the first table's gradient is NaN."""
    random = numpy.random.default_rng(7)
    for path in TABLES:
        client.layer(path, "embedding", rows=1000, columns=8)
    dense = client.layer("inner_model/dense", "dense")
    for step in range(STEPS):
        for path in TABLES:
            values = random.normal(0, 0.01, (32, 8)).astype(numpy.float32)
            if path == TABLES[0] and step >= SICK:
                values[3] = numpy.nan
            client.post_rows(path, "gradient", step, random.integers(0, 1000, 32), values)
            client.post(path, "activation", step, values)
        client.post(dense, "gradient", step, random.normal(0, 0.1, 64).astype(numpy.float32))
        client.scalar("loss", step, 0.7 - step / 1000)
        client.step(step)


@pytest.fixture(scope="module")
def told():
    """The alerts as a webhook was told of them."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def board(told, tmp_path_factory):
    config = sinks(tmp_path_factory.mktemp("config"), webhook(told), tensorboard_url=TENSORBOARD)
    with Daemon("--config", config) as daemon:
        with embmon.Client(run="nested", address=f"unix:{daemon.socket}") as client:
            train(client)
        daemon.stop()
        with TensorBoard(daemon.logdir) as board:
            yield board


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.mark.parametrize("page, tag", [("histograms", "gradients/"),
                                       ("histograms", "gradients_log10/"),
                                       ("histograms", "activations/"),
                                       ("distributions", "gradients/")])
def test_histograms_of_both_tables_are_drawn(board, browser, page, tag):
    browser.open(f"{board.url}#{page}&tagFilter={tag}")
    browser.wait_for("nested/embmon", *(tag + path for path in TABLES), drawn=2)


def test_the_gradient_of_the_alerts_steps_has_a_tag_of_its_own(board, browser):
    browser.open(f"{board.url}#histograms&tagFilter=anomaly")
    browser.wait_for(f"anomaly/{TABLES[0]}", drawn=1)


def test_norms_are_time_series(board, browser):
    browser.open(f"{board.url}?tagFilter=gradient_norm/#timeseries")
    browser.wait_for("gradient_norm/inner_model", "/embedding_1", drawn=3)


def test_the_dashboard_is_ready(board, browser):
    browser.open(f"{board.url}#custom_scalars")
    browser.wait_for("embmond: alerts", "alerts fired so far", "embmond: embeddings",
                     *(f"gradient norm between its thresholds: {path}" for path in TABLES),
                     *(f"gradient norm and its band: {path}" for path in TABLES),
                     *(f"coverage: {path}" for path in TABLES), drawn=6)


def test_the_alert_is_told_with_its_hint(board, browser):
    browser.open(f"{board.url}#text")
    text = browser.wait_for("alerts/log", "alerts/summary")
    text = browser.wait_for("gradient_nonfinite", TABLES[0], f"at step {SICK}", "division by zero")
    assert "critical" in text


# The tags of the cards on the page whose pin is set.
PINNED = """
return [...document.querySelectorAll("card-view")]
    .filter(card => card.querySelector("button[title='Unpin card']"))
    .map(card => card.querySelector("tb-truncated-path").title);
"""


def test_the_link_of_an_alert_shows_its_layer_with_the_evidence_pinned(board, browser, told):
    from selenium.webdriver.common.keys import Keys

    alert = next(a for a in told.alerts() if a["labels"]["alertname"] == "gradient_nonfinite")
    assert alert["generatorURL"].startswith(TENSORBOARD)
    evidence = {f"{tag}/{TABLES[0]}"
                for tag in ("gradient_norm", "alerts/gradient_nonfinite", "anomaly")}
    browser.open(alert["generatorURL"].replace(TENSORBOARD, board.url))
    text = browser.wait_for("Tags matching filter 6 cards", "nested/embmon",
                            "gradient_norm/inner_model /embedding", drawn=4)
    assert "/embedding_1" not in text and "/dense" not in text
    assert set(browser.driver.execute_script(PINNED)) == evidence
    # Without the filter they are on top of the page.
    field = browser.driver.find_element("css selector", "metrics-tag-filter input")
    field.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    browser.wait_for("Pinned 3 cards", drawn=4)
    pinned = browser.driver.find_elements("css selector", "metrics-pinned-view tb-truncated-path")
    assert {each.get_attribute("title") for each in pinned} == evidence
