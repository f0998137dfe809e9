"""The goals of `make bench` with what was measured: each part keeps its own, the end shows them all.

    goals.py FOLDER [--readme]      of all parts that were kept there; --readme: into the README, too
"""
import argparse
import dataclasses
import datetime
import math
import os
import pathlib
import re
import statistics

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEAD = "| goal | wanted | best | median | |\n|---|---|---|---|---|"
PARTS = ("summaries", "step", "daemon")  # in the order of the table


@dataclasses.dataclass
class Goal:
    what: str
    wanted: float
    unit: str
    best: float
    median: float
    at_most: bool = False
    aside: bool = False  # shown where it was measured alone

    def _meets(self, value):
        return value <= self.wanted if self.at_most else value >= self.wanted

    def row(self):
        met = ("met" if self._meets(self.median) else "met by the best" if self._meets(self.best) else
               "**missed**")
        return (f"| {self.what} | {'≤' if self.at_most else '≥'} {f'{self.wanted:g} {self.unit}'.strip()} | "
                f"{figure(self.best)} | {figure(self.median)} | {met} |")


class Goals:
    """Of one part."""

    def __init__(self):
        self._goals = []

    def add(self, what, wanted, unit, best, median, at_most=False, aside=False):
        self._goals.append(Goal(what, wanted, unit, best, median, at_most, aside))

    def add_all(self, what, wanted, unit, values, at_most=False):
        best = min(values) if at_most else max(values)
        self.add(what, wanted, unit, best, statistics.median(values), at_most)

    def end(self, part, folder):
        """Prints them; folder: keeps them there, where it is not None."""
        print("\n".join(["", HEAD, *(goal.row() for goal in self._goals)]))
        if folder:
            rows = [f"{goal.row()}\n" for goal in self._goals if not goal.aside]
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            (pathlib.Path(folder) / part).write_text("".join(rows))


def figure(value):
    """Three digits."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def processor():
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return found[1] if found else "an unknown processor"


def into_readme(text):
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"README.md has no {BEGIN} and {END}"
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--readme", action="store_true", help="put them into the README, too")
    parser.add_argument("--quick", action="store_true", help="they are of `make bench-quick`")
    options = parser.parse_args()
    rows = "".join((options.folder / part).read_text() for part in PARTS)
    text = (f"`make bench{'-quick' if options.quick else ''}`, {datetime.date.today()}, {processor()}, {len(os.sched_getaffinity(0))} processors, "
            f"load {os.getloadavg()[0]:.1f} at the end:\n\n{HEAD}\n{rows.rstrip()}")
    print(f"\n{text}")
    if options.readme:
        into_readme(text)


if __name__ == "__main__":
    main()
