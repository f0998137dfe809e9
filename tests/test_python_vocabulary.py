"""vocabulary=: the shapes in which users have their words, and what becomes of hostile ones."""

import json
import os
import sys

import numpy as np
import pytest

import readers
from harness import BUILD, ROOT, wait_for

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402
from embmon._monitor import Monitor  # noqa: E402
from embmon._vocabulary import WORDS_MAX, Vocabulary, words_of  # noqa: E402

NOBODY = "unix:/nonexistent/embmond.sock"
WORDS = [b"", b"[UNK]", b"dress", "\u00e9t\u00e9".encode()]


def as_list(words):
    return list(words.for_c)


class Lookup:
    """As keras.layers.StringLookup."""

    def get_vocabulary(self):
        return ["", "[UNK]", "dress", "\u00e9t\u00e9"]


@pytest.mark.parametrize("given", [
    ["", "[UNK]", "dress", "\u00e9t\u00e9"],
    (None, "[UNK]", "dress", "\u00e9t\u00e9"),
    [b"", b"[UNK]", b"dress", "\u00e9t\u00e9".encode()],
    np.array(["", "[UNK]", "dress", "\u00e9t\u00e9"]),
    np.array(["", "[UNK]", "dress", "\u00e9t\u00e9"], object),
    {"dress": 2, "[UNK]": 1, "\u00e9t\u00e9": np.int64(3)},
    Lookup(),
])
def test_words_are_taken_as_users_have_them(given):
    assert as_list(words_of(given)) == WORDS


def test_numbers_are_words_too():
    """Of IntegerLookup, or the items of a shop."""
    assert as_list(words_of([-1, 993812, np.int64(7)])) == [b"-1", b"993812", b"7"]


def test_only_the_beginning_of_a_word_is_kept():
    (word,) = as_list(words_of(["w" * (1 << 20)]))
    assert 64 < len(word) <= 100
    assert as_list(words_of(["a\0b", "\ud800"])) == ["a\ufffdb".encode(), b"?"]


@pytest.mark.parametrize("given, error, said", [
    ("dress", TypeError, "vocabulary: 'dress' is not a list of words"),
    (5, TypeError, "vocabulary: 5 is not a list of words"),
    ({"a", "b"}, TypeError, "is not a list of words"),  # which is the first?
    (iter(["a"]), TypeError, "is not a list of words"),
    ([["a"], ["b"]], TypeError, r"\['a'\], given for id 0, is not a word"),
    (["a", 1.5], TypeError, "1.5, given for id 1, is not a word: give strings"),
    ({"a": -1}, ValueError, "-1, given for 'a', is not an id"),
    ({"a": 10**12}, ValueError, "1,000,000,000,001 words are more than the 16,777,216"),
    ({"table": {"a": "b"}}, ValueError, "vocabulary of 'table': 'b', given for 'a', is not an id"),
    ({"table": {"a": True}}, ValueError, "vocabulary of 'table': True"),
    ({"table": "dress"}, TypeError, "vocabulary of 'table': 'dress' is not a list of words"),
    ({"table": 1, "other": ["a"]}, TypeError, "vocabulary of 'table': 1 is not a list of words"),
    ({5: ["a"]}, TypeError, "vocabulary: 5 does not name a table"),
])
def test_what_are_no_words_is_told_at_once(given, error, said):
    with pytest.raises(error, match=said):
        Vocabulary(given)


def test_a_list_that_is_too_long_is_not_copied():
    class Long(list):
        def __len__(self):
            return WORDS_MAX + 1

    with pytest.raises(ValueError, match="16,777,217 words"):
        words_of(Long())


def test_a_table_is_named_by_path_or_glob():
    vocabulary = Vocabulary({"tower/*": ["glob"], "item": {"dict": 0}, "tower/item": Lookup()})
    assert as_list(vocabulary.of("tower/user")) == [b"glob"]
    assert as_list(vocabulary.of("other/item")) == [b"dict"]
    assert as_list(vocabulary.of("tower/item")) == WORDS  # the last that fits
    assert vocabulary.of("user") is None
    assert vocabulary.unused(["tower/a", "b"]) == ["item", "tower/item"]
    assert vocabulary.problem(["a", "b"]) is None


def test_words_alone_are_of_the_only_table():
    vocabulary = Vocabulary({"dress": 0})
    assert as_list(vocabulary.of("any")) == [b"dress"] and vocabulary
    assert vocabulary.problem(["any"]) is None and vocabulary.unused(["any"]) == []
    assert vocabulary.problem(["users", "items"]) == (
        "vocabulary: there are 2 tables (users, items): give each its words, "
        "vocabulary={'users': words}")
    for nothing in (None, {}):
        assert not Vocabulary(nothing) and Vocabulary(nothing).of("any") is None


def test_a_second_table_is_not_given_the_words_of_the_first(caplog):
    client = embmon.Client(run="r", address=NOBODY, log=lambda line: None)
    monitor = Monitor(client, vocabulary=["a"])
    first = monitor.declare_layer("first", "embedding", rows=1, columns=1)
    assert not caplog.records
    second = monitor.declare_layer("second", "embedding", rows=1, columns=1)
    monitor.declare_layer("first", "embedding", rows=1, columns=1)
    (record,) = caplog.records
    assert "there are 2 tables (first, second)" in record.getMessage()
    with pytest.raises(embmon.AlreadyDeclaredError):
        client.vocabulary(first, ["b"])
    client.vocabulary(second, ["b"])
    assert not monitor.failed
    client.close(0)


def test_what_the_client_refuses():
    client = embmon.Client(run="r", address=NOBODY, log=lambda line: None)
    client.layer("table", "embedding", rows=2, columns=2)
    client.vocabulary("table", ["a", "b"])
    with pytest.raises(embmon.AlreadyDeclaredError, match="vocabulary of layer 'table'"):
        client.vocabulary("table", ["a", "b"])
    with pytest.raises(embmon.UnknownTargetError, match="no layer 'nobody'"):
        client.vocabulary("nobody", ["a"])
    client.close(0)


# ---- hostile words, to the end

HOSTILE = {
    "lines": ("two\nlines\r\n\u2028\x1b[2J\x9b", "two\ufffdlines" + "\ufffd" * 6 + "[2J" + "\ufffd" * 2),  # for each byte
    "markdown": ("| **a** | `b` <script>alert(1)</script>",) * 2,
    "quotes": ('"\\" %s %n',) * 2,
    "not UTF-8": (b"\xff\xfe\xc3(", "\ufffd\ufffd\ufffd("),
    "a megabyte": ("w" * (1 << 20), "w" * 61 + "..."),
    "right to left": ("\u05e9\u05dc\u05d5\u05dd",) * 2,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_word_does_no_harm(daemon, kind):
    word, shown = HOSTILE[kind]
    with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
        client.layer("table", "embedding", rows=2, columns=2)
        client.vocabulary("table", ["a", "b", word])
        client.post_ids("table", 0, np.array([0, 1, 2, 2]))
        told = []
        wait_for(lambda: told.extend(client.notices()) or told, "an alert")
        client.step(0)
        wait_for(lambda: client.stats().in_flight == 0, "acknowledgements")
        assert client.stats().rejected == 0
        assert client.close() == 0
    sentence = f'id 2 ("{shown}") reached table (2 rows) at step 0'
    assert told[0].summary.startswith(sentence)
    (line,) = [x for x in (daemon.logdir / "run/embmon/alerts.jsonl").read_bytes().splitlines()
               if b'"firing"' in x]
    assert json.loads(line)["summary"] == told[0].summary
    assert daemon.stop() == 0
    log = daemon.log()
    assert sum("critical firing: " in x and sentence in x for x in log.splitlines()) == 1
    assert not any(c < " " and c != "\n" for c in log)
    texts = [text for tag, steps in readers.python(daemon.logdir)["run/embmon"].texts.items()
             for _, text in steps]
    rows = [row for text in texts for row in text.splitlines() if "reached table" in row]
    assert rows and "<script>" not in "".join(texts)
    for row in rows:
        if row.startswith("|"):
            assert row.count("|") == 8


def test_a_million_words_stay_here(daemon):
    with embmon.Client(run="run", address=f"unix:{daemon.socket}") as client:
        client.layer("table", "embedding", rows=10**6, columns=2)
        client.vocabulary("table", [f"word {n}" for n in range(10**6 + 1)])
        client.post_ids("table", 0, np.arange(3, 10**6 + 1))
        told = []
        wait_for(lambda: told.extend(client.notices()) or told, "an alert")
    assert told[0].summary.startswith('id 1000000 ("word 1000000") reached table')
