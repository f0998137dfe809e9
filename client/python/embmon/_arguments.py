"""Arguments on their way to C, which would cut what does not fit without a word."""

import ctypes
import operator
from typing import Any, Sequence

from . import _lib, errors

INT64_MAX = 2**63 - 1
UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1


def text(value: str, what: str) -> bytes:
    """UTF-8 for C; InvalidNameError for what C would cut."""
    try:
        encoded = value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise errors.InvalidNameError(f"{what}: {value!r} is not a name") from None
    if b"\0" in encoded:
        raise errors.InvalidNameError(f"{what}: {value!r} holds a NUL")
    return encoded


def word(words: dict[str, int], given: str, what: str) -> int:
    """The value of a word of the API; InvalidArgumentError names those there are."""
    try:
        return words[given]
    except (KeyError, TypeError):
        raise errors.InvalidArgumentError(
            f"{what} {given!r} is none of {', '.join(words)}") from None


def integer(value: Any, low: int, high: int, what: str) -> int:
    """An int within [low, high]; ctypes would cut what is outside without a word."""
    try:
        number = operator.index(value)
    except TypeError:
        raise errors.InvalidArgumentError(f"{what} {value!r} is not an integer") from None
    if not low <= number <= high:
        raise errors.InvalidArgumentError(f"{what} {number} is not in {low} ... {high}")
    return number


def shape(given: Sequence[int | None] | None) -> tuple[Any, int]:
    """(int64 array or None, rank); a dimension None is one that varies."""
    if given is None:
        return None, 0
    sizes = [-1 if n is None else integer(n, -1, INT64_MAX, "dimension") for n in given]
    if len(sizes) > _lib.RANK_MAX:
        raise errors.InvalidArgumentError(f"shape {given!r} has more than {_lib.RANK_MAX} dimensions")
    return (ctypes.c_int64 * len(sizes))(*sizes) if sizes else None, len(sizes)


def counts(given: Sequence[int]) -> Any:
    """A uint64 array of bucket counts."""
    return (ctypes.c_uint64 * len(given))(
        *[integer(n, 0, UINT64_MAX, "bucket count") for n in given])
