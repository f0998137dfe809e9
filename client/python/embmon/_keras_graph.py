"""Where a step compiled by XLA leaves its tensors: it cannot call out, so the statistics are made in
the graph, kept in variables, and read between the steps.

The buckets are those of embmon.h: sign, exponent and the top 3 mantissa bits of the float32, found
from the bits alone, so that flush-to-zero changes nothing.
"""

import concurrent.futures
from typing import Any, NamedTuple, Sequence

import numpy as np
import tensorflow as tf

from ._keras_control import STEP as CONTROL_STEP
from ._keras_sink import Post
from ._keras_targets import Target
from ._monitor import Monitor
from .client import Summary

_SIGNS, _SPAN = 2, 2048  # of a sign's buckets; from 2040 on infinities and NaN, and here zeros
_FINITE = 2040
# Of the numbers of a slot, float64; the first tells which step filled it.
STEP, COUNT, ZEROS, NANS, PLUS_INF, MINUS_INF, MIN, MAX, SUM, ABSOLUTE, SQUARES = range(11)


def buckets_and_numbers(tensor: Any, step: Any, rows: Any = None) -> tuple[Any, Any]:
    """(int32 [4096] counts, float64 [11]) of a tensor of floats. rows: bool [n], those of the
    tensor [n, columns] that count; the others are all zero."""
    flat = tf.reshape(tf.cast(tensor, tf.float32), [-1])
    bits = tf.bitcast(flat, tf.int32)
    magnitude = tf.bitwise.bitwise_and(bits, 0x7FFFFFFF)
    index = tf.where(magnitude == 0, _SPAN - 1, tf.bitwise.right_shift(magnitude, 20))
    index += tf.where(bits < 0, _SPAN, 0)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(index), index, _SIGNS * _SPAN)
    is_finite = magnitude < 0x7F800000
    wide = tf.where(is_finite, tf.cast(flat, tf.float64), tf.zeros([], tf.float64))
    infinity = tf.constant(np.inf, tf.float64)
    untouched = tf.zeros([], tf.float64)
    if rows is not None:
        untouched = total(~rows) * tf.cast(tf.shape(tensor)[-1], tf.float64)
    numbers = tf.stack([
        tf.cast(step, tf.float64),
        tf.cast(tf.size(flat), tf.float64) - untouched,
        total(magnitude == 0) - untouched,
        total(magnitude > 0x7F800000),
        total(tf.logical_and(magnitude == 0x7F800000, bits > 0)),
        total(tf.logical_and(magnitude == 0x7F800000, bits < 0)),
        tf.reduce_min(tf.where(is_finite, wide, infinity)),
        tf.reduce_max(tf.where(is_finite, wide, -infinity)),
        tf.reduce_sum(wide), tf.reduce_sum(tf.abs(wide)), tf.reduce_sum(wide * wide)])
    return counts, numbers


def total(mask: Any) -> Any:
    return tf.reduce_sum(tf.cast(mask, tf.float64))


def summary_of(counts: Any, numbers: Any) -> Summary:
    """Of what buckets_and_numbers() made, as numpy arrays."""
    count, zeros = int(numbers[COUNT]), int(numbers[ZEROS])
    finite = count > int(numbers[NANS] + numbers[PLUS_INF] + numbers[MINUS_INF])
    named = {}
    for name, span in (("positive", counts[:_FINITE]),
                       ("negative", counts[_SPAN:_SPAN + _FINITE])):
        used = np.flatnonzero(span)
        if used.size:
            named[f"{name}_first"] = int(used[0])
            named[f"{name}_counts"] = span[used[0]:used[-1] + 1].tolist()
    return Summary(count=count, zeros=zeros, nans=int(numbers[NANS]),
                   positive_infinities=int(numbers[PLUS_INF]),
                   negative_infinities=int(numbers[MINUS_INF]),
                   min=float(numbers[MIN]) if finite else 0.0,
                   max=float(numbers[MAX]) if finite else 0.0, sum=float(numbers[SUM]),
                   absolute_sum=float(numbers[ABSOLUTE]), square_sum=float(numbers[SQUARES]), **named)


def variable(value: np.ndarray) -> tf.Variable:
    """A variable made while a step is traced. tf.function forbids that from the second trace on, in
    its own thread; that rule is about variables whose making is part of the function."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(tf.Variable, value, trainable=False).result()


class Slot(NamedTuple):
    """What one post of one traced graph leaves."""

    target: Target
    signal: str
    counts: tf.Variable
    numbers: tf.Variable


class GraphSink:
    """Variables, filled by the step, read by collect()."""

    calls_out = False
    shows_weights = False  # read between the steps: what XLA updates in place it would copy

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._slots: list[Slot] = []
        self._scalars: list[tuple[list[str], tf.Variable]] = []

    def _slot(self, signal: str, target: Target) -> Slot:
        slot = Slot(target, signal, variable(np.zeros(_SIGNS * _SPAN, np.int32)),
                    variable(np.full(11, -1.0)))
        self._slots.append(slot)
        return slot

    def _fill(self, signal: str, target: Target, step: Any, tensor: Any, rows: Any) -> Any:
        slot = self._slot(signal, target)
        counts, numbers = buckets_and_numbers(tensor, step, rows)
        return tf.group(slot.counts.assign(counts), slot.numbers.assign(numbers))

    def post(self, phase: str, control: Any, posts: Sequence[Post], loss: Any) -> Any:
        """As HostSink's."""
        step = control[CONTROL_STEP]
        return tf.group(*[self._array(x.signal, x.target, step, x.values) if x.ids is None else
                          self._rows(x.signal, x.target, step, x.ids, x.values) for x in posts])

    def _array(self, signal: str, target: Target, step: Any, tensor: Any) -> Any:
        rows = None
        if target.is_table and signal == "gradient":  # seen by its touched rows, if any
            touched = tf.reduce_any(tensor != 0, -1)
            rows = tf.logical_or(touched, tf.logical_not(tf.reduce_any(touched)))
        return self._fill(signal, target, step, tensor, rows)

    def _rows(self, signal: str, target: Target, step: Any, ids: Any, values: Any) -> Any:
        """ids [n], values [n, columns]: rows of one id are added up."""
        ids = tf.reshape(ids, [-1])
        values = tf.reshape(values, [-1, values.shape[-1]])
        added = tf.math.unsorted_segment_sum(values, ids, target.rows)
        touched = tf.reduce_any(added != 0, -1)
        looked_up = tf.math.unsorted_segment_sum(tf.ones_like(ids), ids, target.rows) > 0
        counted = tf.where(tf.reduce_any(touched), touched, looked_up)
        return self._fill(signal, target, step, added, counted)

    def end(self, phase: str, control: Any, scalars: dict[str, Any], posts: Sequence[Post],
            loss: Any) -> Any:
        """As HostSink's."""
        step = control[CONTROL_STEP]
        kept = variable(np.full(1 + len(scalars), -1.0))
        self._scalars.append((list(scalars), kept))
        done = kept.assign(tf.stack([tf.cast(step, tf.float64), *scalars.values()]))
        return tf.group(done, self.post(phase, control, posts, loss))

    def collect(self, step: int) -> None:
        """Posts what the step of this number left, whichever of the traced graphs it ran in."""
        for slot in self._slots:
            numbers = slot.numbers.numpy()
            if numbers[STEP] == step:
                self._monitor.post_summary(slot.target.ident, slot.signal, step,
                                           summary_of(slot.counts.numpy(), numbers))
                slot.numbers.assign(np.full(11, -1.0))
        for names, kept in self._scalars:
            values = kept.numpy()
            if values[0] == step:
                for name, value in zip(names, values[1:]):
                    self._monitor.scalar(name, step, float(value))
                kept.assign(np.full(len(values), -1.0))
