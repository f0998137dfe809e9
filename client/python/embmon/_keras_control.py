"""What a traced step looks at to know what is wanted of it: a few numbers in a variable, set between
the steps where they change.

An operation between two steps costs more than it looks: it finds nothing of TensorFlow's in the
cache. So what is wanted again is not set again, and a step that calls out asks the monitor for its
number, which changes at every step.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from ._monitor import Wants

STEP, SAMPLED, WEIGHT, UPDATE, IDS = range(5)
CONTROL = 5


def control_row(wants: Wants) -> list[int]:
    return [wants.step, int(wants.sampled), int(wants.weight), int(wants.update), int(wants.ids)]


class Control:
    """Of one phase."""

    def __init__(self, device: str | None, with_step: bool) -> None:
        """with_step: the graph reads the step's number."""
        with tf.init_scope(), tf.device(device):
            self.variable = tf.Variable(tf.zeros([CONTROL], tf.int64), trainable=False)
        self.is_read = False  # by any graph that was traced
        self._with_step = with_step
        self._row: list[int] | None = [0] * CONTROL  # None: the graph may have set another
        self._rows: dict[tuple[int, ...], Any] = {}  # as tensors

    def set(self, wants: Wants) -> None:
        """Between the steps, of the next one."""
        row = control_row(wants)
        if not self._with_step:
            row[STEP] = 0
        if row == self._row:
            return
        # The operation itself: assign() takes five times as long.
        tf.raw_ops.AssignVariableOp(resource=self.variable.handle, value=self._tensor(row))
        self._row = row

    def _tensor(self, row: list[int]) -> Any:
        if self._with_step:
            return tf.constant(np.array(row, np.int64))
        key = tuple(row)  # there are few
        if key not in self._rows:
            self._rows[key] = tf.constant(np.array(row, np.int64))
        return self._rows[key]

    def set_by_graph(self) -> None:
        """A step has set it, or may have."""
        self._row = None

    def disarm(self) -> None:
        """Nothing is wanted until set() says so."""
        self.set(Wants())
