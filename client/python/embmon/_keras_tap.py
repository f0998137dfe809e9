"""A tensor to read in a branch of the graph, without a change to how the graph is optimised.

TensorFlow fuses an operation into the one that follows it where nobody else reads what is between
(a matrix product, its bias and the addition of a residual connection), and a fused operation
rounds differently in the last bit. A probe that reads such a tensor would therefore change the
numbers of the training. Where that could be, the operation is done again within the branch, from
inputs that others read as well.
"""

from typing import Any

import tensorflow as tf

# What may swallow its only input's producer.
_FUSERS = frozenset((
    "Add", "AddV2", "AddN", "BiasAdd", "BatchMatMulV2", "Elu", "Erf", "Exp", "FusedBatchNormV3",
    "LeakyRelu", "Maximum", "Mean", "Minimum", "Mul", "Neg", "Pow", "RealDiv", "Relu", "Relu6",
    "Rsqrt", "Selu", "Sigmoid", "Softmax", "Softplus", "Square", "SquaredDifference", "Sub", "Tanh",
    "Transpose"))
_KEPT = frozenset(("Const", "GatherV2", "Identity", "Placeholder", "ReadVariableOp",
                   "ResourceGather"))


def may_be_fused(tensor: Any) -> bool:
    """Has it so few readers that one more would change how they are run?"""
    op = tensor.op
    if op.type in _KEPT or op.op_def.is_stateful or not op.inputs:
        return False
    readers = tensor.consumers()
    return len(readers) == 1 and (readers[0].type in _FUSERS or op.type == "Transpose")


def is_read_by_none(tensor: Any) -> bool:
    """Would it not be computed at all without us? As far as the step has been traced."""
    op = tensor.op
    return not (op.type in _KEPT or op.op_def.is_stateful or tensor.consumers()) and bool(op.inputs)


class Tap:
    """Of one branch: what is done again for one tensor serves the others too."""

    def __init__(self) -> None:
        self._again: dict[Any, Any] = {}  # operation -> its copy

    def read(self, tensor: Any) -> Any:
        """The tensor itself, or an equal one made again. To be called in the branch, when the step
        has been traced to its end, so that every other reader of the tensor is known."""
        if tf.executing_eagerly() or not (may_be_fused(tensor) or is_read_by_none(tensor)):
            return tensor
        copy = self._again.get(tensor.op)
        if copy is None:
            copy = self._again[tensor.op] = self._do_again(tensor.op)
        return copy.outputs[tensor.op.outputs.index(tensor)] if copy is not tensor.op else tensor

    def _do_again(self, op: Any) -> Any:
        if any(x.dtype == tf.resource for x in op.inputs):
            return op
        inputs = [self.read(x) for x in op.inputs]
        attributes = {name: value for name, value in op.node_def.attr.items()
                      if not name.startswith("_")}
        return tf.compat.v1.get_default_graph().create_op(
            op.type, inputs, [x.dtype for x in op.outputs], attrs=attributes, name="embmon_again")
