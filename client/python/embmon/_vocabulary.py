"""What the ids of tables stand for, so that an alert says `id 4711 ("dress")`: words as users have
them, by table."""

import ctypes
import operator
from numbers import Integral
from typing import Any, Iterable, Mapping, Sequence

from ._naming import matches

WORDS_MAX = 2**24  # as client/vocabulary.h
_LONG = 80  # of a word; libembmon shows 64 bytes, and needs one more to see that it is longer
_KINDS = ("a list of words (word of id 0, of id 1, ...), a dict from word to id, or a layer with "
          "get_vocabulary()")


def _is_integer(value: Any) -> bool:
    return value.__class__ is int or isinstance(value, Integral) and not isinstance(value, bool)


def _cut(word: Any) -> bytes | None:
    """What libembmon is to be given of it, without a NUL; None: not a word."""
    if isinstance(word, str):
        word = word[:_LONG].encode(errors="replace")
    elif _is_integer(word):  # such as an item's number
        word = str(int(word)).encode()
    elif word is None:
        word = b""
    elif not isinstance(word, bytes):
        return None
    return word[:_LONG].replace(b"\0", b"\xef\xbf\xbd")


def _check_length(count: int, what: str) -> None:
    if count > WORDS_MAX:
        raise ValueError(f"{what}: {count:,} words are more than the {WORDS_MAX:,} that a table may "
                         "have: give those of the ids that are used most")


def _by_id(given: Mapping[Any, Any], what: str) -> list[Any]:
    """The words of a dict from word to id, in the order of the ids."""
    for word, ident in given.items():
        if not _is_integer(ident) or ident < 0:
            raise ValueError(f"{what}: {ident!r}, given for {word!r:.80}, is not an id: give a dict "
                             "from word to id, as a tokenizer has it")
    ids = [operator.index(ident) for ident in given.values()]
    _check_length(max(ids, default=-1) + 1, what)
    words: list[Any] = [None] * (max(ids, default=-1) + 1)
    for ident, word in zip(ids, given):
        words[ident] = word
    return words


class Words:
    """The word of id 0, of id 1, ...; b"" where there is none."""

    def __init__(self, words: Sequence[bytes]) -> None:
        self.count = len(words)
        self.for_c = (ctypes.c_char_p * len(words))(*words)  # const char *[]


def words_of(given: Any, what: str = "vocabulary") -> Words:
    """given: one of _KINDS; strings, bytes, integers and None as words. ValueError, TypeError:
    anything else, `what` being its name."""
    if isinstance(given, Words):
        return given
    layer = getattr(given, "get_vocabulary", None)
    if callable(layer):
        given = layer()
    if isinstance(given, Mapping):
        given = _by_id(given, what)
    if callable(getattr(given, "numpy", None)):  # a tensor of strings
        given = given.numpy()
    if isinstance(given, (str, bytes, set, frozenset)) or not hasattr(given, "__len__") \
            or not hasattr(given, "__iter__"):
        raise TypeError(f"{what}: {given!r:.80} is not {_KINDS}")
    _check_length(len(given), what)
    words = []
    for n, word in enumerate(given):
        cut = _cut(word)
        if cut is None:
            raise TypeError(f"{what}: {word!r:.80}, given for id {n}, is not a word: give strings, "
                            "None where an id has none")
        words.append(cut)
    return Words(words)


class Vocabulary:
    """Of the tables of a model, as a callback is given it: None, words as words_of() takes them for
    the only table, or a dict from table to words. A table is named as in `layers`: by its path, or a
    glob over it; of several names that fit it the last counts."""

    def __init__(self, given: Any) -> None:
        """ValueError, TypeError: as words_of(), and for a table that is no string."""
        self._of_only: Words | None = None
        self._by_name: dict[str, Words] = {}
        if given is None:
            return
        if not isinstance(given, Mapping) or (given and all(map(_is_integer, given.values()))):
            self._of_only = words_of(given)
            return
        for name, words in given.items():
            if not isinstance(name, str) or not name:
                raise TypeError(f"vocabulary: {name!r:.80} does not name a table: give a dict from "
                                f"table (its path, or a glob) to {_KINDS}")
            self._by_name[name] = words_of(words, f"vocabulary of {name!r}")

    def __bool__(self) -> bool:
        return self._of_only is not None or bool(self._by_name)

    def of(self, table: str) -> Words | None:
        """The words of the table of this path."""
        if self._of_only is not None:
            return self._of_only
        found = [words for name, words in self._by_name.items() if matches(table, [name])]
        return found[-1] if found else None

    def problem(self, tables: Iterable[str]) -> str | None:
        """Why it cannot be told whose the words are, where there are tables of these paths."""
        tables = list(tables)
        if self._of_only is None or len(tables) < 2:
            return None
        return (f"vocabulary: there are {len(tables)} tables ({', '.join(tables[:8])}"
                f"{', ...' if len(tables) > 8 else ''}): give each its words, "
                f"vocabulary={{{tables[0]!r}: words}}")

    def unused(self, tables: Iterable[str]) -> list[str]:
        """The names that no table of these has."""
        tables = list(tables)
        return [name for name in self._by_name if not any(matches(x, [name]) for x in tables)]
