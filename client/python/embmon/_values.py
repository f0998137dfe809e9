"""What goes to the client and comes from it as one value: Summary and Stats."""

import ctypes
import dataclasses
from typing import NamedTuple, Sequence

from . import _lib
from ._arguments import UINT32_MAX, UINT64_MAX, counts, integer


class Stats(NamedTuple):
    """Counts of posts (a step's end is one too) since the client was opened. At every moment
    produced = acked + rejected + dropped + in_flight."""

    connected: bool = False  # is the daemon there?
    produced: int = 0  # accepted from the trainer, or dropped on the way in
    acked: int = 0  # merged by the daemon
    rejected: int = 0  # refused by the daemon: late, or not valid; each is in its log
    dropped: int = 0  # lost here: inbox or queue were full
    in_flight: int = 0  # waiting here, or sent and not answered yet
    skipped: int = 0  # not wanted at their step; not part of produced
    reconnects: int = 0
    post_ns: int = 0  # nanoseconds spent inside posting calls, all threads
    overhead: float = -1.0  # the share of a training step that monitoring adds; -1: not measured
    every: int = 0  # training steps that are multiples of this are sampled


@dataclasses.dataclass
class Summary:
    """A summary made elsewhere: in a compiled graph, by a collective.

    A bucket is the sign, the 8-bit exponent and the top 3 mantissa bits of a value rounded toward
    zero to f32; its index is (f32 bits without the sign) >> 20, 0 ... 2039. *_counts hold the
    counts of consecutive buckets from *_first on: integers >= 0, or a numpy array of them.
    """

    count: int  # all elements: zeros + NaNs + infinities + the bucket counts
    parts: int = 1  # tensors added into this summary
    zeros: int = 0
    nans: int = 0
    positive_infinities: int = 0
    negative_infinities: int = 0
    min: float = 0.0  # of the finite elements, zeros included; 0 when there is none
    max: float = 0.0
    sum: float = 0.0  # of the finite elements
    absolute_sum: float = 0.0  # of their absolute values
    square_sum: float = 0.0  # of their squares
    negative_first: int = 0
    negative_counts: Sequence[int] = ()  # by magnitude
    positive_first: int = 0
    positive_counts: Sequence[int] = ()


def summary_struct(summary: Summary) -> _lib.Summary:
    """The C struct, which owns its counts. InvalidArgumentError: a number out of its range."""
    given = {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}
    for name, kind, *_ in _lib.Summary._fields_[1:]:
        if kind is ctypes.c_double:
            given[name] = float(given[name])
        elif name in given and not name.endswith("_counts"):
            most = UINT32_MAX if kind is ctypes.c_uint32 else UINT64_MAX
            given[name] = integer(given[name], 0, most, name)
    for sign in ("negative", "positive"):
        made = counts(given[f"{sign}_counts"])
        given[f"{sign}_length"] = len(made)
        given[f"{sign}_counts"] = made
    return _lib.Summary(size=ctypes.sizeof(_lib.Summary), **given)
