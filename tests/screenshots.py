"""The README's pictures, from the runs of the newest `make demo`:

    make demo && build/venv/bin/python tests/screenshots.py
"""
import os
from pathlib import Path

from browser import Browser, TensorBoard

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    # file: (address behind TensorBoard's, what must be on the page, charts drawn)
    "gradients.png": ("#histograms&tagFilter=gradients_log10/inner_model/embedding",
                      ["gradients_log10/inner_model/embedding_1", "vanishing/embmon"], 6),
    "dashboard.png": ("#custom_scalars",
                      ["alerts fired so far",
                       "gradient norm between its thresholds: inner_model/embedding_1"], 8),
}


def main():
    demo = max((ROOT / "runs").glob("demo-*/healthy"), key=lambda path: path.stat().st_mtime).parent
    os.chdir(ROOT)  # the page shows the logdir as it is given
    with TensorBoard(demo.relative_to(ROOT)) as board, Browser(1400, 900) as browser:
        for name, (address, texts, drawn) in PAGES.items():
            browser.open(board.url + address)
            browser.wait_for(*texts, drawn=drawn)
            browser.screenshot(ROOT / "docs" / "images" / name)
            print(f"docs/images/{name}")


if __name__ == "__main__":
    main()
