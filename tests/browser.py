"""A real browser in front of a real TensorBoard: what a person would see.

    with TensorBoard(logdir) as board, Browser() as browser:
        browser.open(board.url + "#histograms")
        browser.wait_for("gradients/inner_model/embedding")
        browser.screenshot("histograms.png")

TensorBoard listens on a free port of the loopback; Chromium is Debian's, driven through its own
chromedriver, with a profile that is thrown away.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 90  # seconds for a page on two busy cores

# Everything on the page a person could read, through the shadow roots of its components.
READABLE = """
const parts = [];
(function walk(node) {
  if (node.nodeType === Node.TEXT_NODE) { parts.push(node.textContent); return; }
  if (node.nodeType === Node.ELEMENT_NODE &&
      (['SCRIPT', 'STYLE', 'TEMPLATE'].includes(node.tagName) ||
       getComputedStyle(node).display === 'none')) return;
  if (node.shadowRoot) walk(node.shadowRoot);
  for (const child of node.childNodes) walk(child);
})(document.body);
return parts.join(' ').replace(/\\s+/g, ' ');
"""

# Charts that are drawn: lines and areas with a shape, and canvases in view.
DRAWN = """
let count = 0;
(function walk(node) {
  if (node.nodeType !== Node.ELEMENT_NODE && node.nodeType !== Node.DOCUMENT_FRAGMENT_NODE) return;
  if (node.tagName === 'path' && (node.getAttribute('d') || '').length > 20) count++;
  if (node.tagName === 'CANVAS' && node.clientWidth > 50) count++;
  if (node.shadowRoot) walk(node.shadowRoot);
  for (const child of node.children) walk(child);
})(document.body);
return count;
"""


class TensorBoard:
    """TensorBoard over a logdir, on a port the system chose."""

    def __init__(self, logdir, *options):
        self.logdir, self.options, self.process, self.url = logdir, options, None, None

    def __enter__(self):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        program = Path(sys.executable).with_name("tensorboard")
        self.process = subprocess.Popen(
            [program, "--logdir", self.logdir, "--host", "127.0.0.1", "--port", "0",
             "--reload_interval", "1", *self.options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://[\d.]+:\d+/", Path(self.log.name).read_text())):
            assert self.process.poll() is None, Path(self.log.name).read_text()
            assert time.monotonic() < deadline, Path(self.log.name).read_text()
            time.sleep(0.1)
        self.url = found[0]
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)  # with its data server
        self.process.wait(10)
        self.log.close()


class Browser:
    """Headless Chromium with a window of so many pixels."""

    def __init__(self, width=1500, height=1100):
        self.size = f"--window-size={width},{height}"

    def __enter__(self):
        from selenium import webdriver  # here, so that the rest works without it

        self.profile = tempfile.TemporaryDirectory(prefix="embmon-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                     "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
                     "--disable-background-networking", "--disable-component-update",
                     "--force-device-scale-factor=1", self.size,
                     f"--user-data-dir={self.profile.name}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(PATIENCE)
        return self

    def __exit__(self, *_):
        self.driver.quit()
        self.profile.cleanup()

    def open(self, url):
        self.driver.get("about:blank")  # another page of the same address would not be loaded anew
        self.driver.get(url)

    def text(self):
        return self.driver.execute_script(READABLE)

    def drawn(self):
        return self.driver.execute_script(DRAWN)

    def wait_for(self, *wanted, drawn=0):
        """Waits until all these texts are on the page and so many charts are drawn; returns the
        page's text."""
        deadline = time.monotonic() + PATIENCE
        while True:
            text = self.text()
            missing = [each for each in wanted if each not in text]
            if not missing and self.drawn() >= drawn:
                return text
            assert time.monotonic() < deadline, \
                f"not on the page: {missing}, drawn {self.drawn()} of {drawn}; the page: {text[:3000]}"
            time.sleep(0.3)

    def screenshot(self, path):
        time.sleep(1.5)  # transitions of the charts; nothing is judged by it
        self.driver.save_screenshot(str(path))
