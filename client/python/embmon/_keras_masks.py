"""The masks that ride on Keras' tensors."""

from typing import Any

import tensorflow as tf


def mask_of(tensor: Any) -> Any:
    """None: it has none."""
    return getattr(tensor, "_keras_mask", None)


def same(tensor: Any) -> Any:
    """An equal tensor with the same mask: what layers compute of it depends on that, too."""
    copy = tf.identity(tensor)
    mask = mask_of(tensor)
    if mask is not None:
        copy._keras_mask = mask
    return copy
