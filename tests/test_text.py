"""Texts as tokens, and their windows.

Oracles: plain Python loops over the characters; another process with another hash seed.
"""

import os
import subprocess
import sys
from pydoc_data.topics import topics as pages

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from landscape_nb.problems import data
from landscape_nb.problems.data import Text, encode, sequences


def decode(text):
    return "".join(text.vocabulary[token] for token in text.tokens.tolist())


# -- text ----------------------------------------------------------------------------------------


def test_the_help_pages():
    text = data.text()
    assert isinstance(text, Text) and text.tokens.dtype == torch.int64
    assert 90 <= len(text.vocabulary) <= 130
    assert len(text.tokens) > 300_000
    string = decode(text)
    position = 0
    for title in sorted(pages):
        assert string.startswith(pages[title], position)
        position += len(pages[title])
    assert position == len(string)


def test_the_order_of_the_pages_is_that_of_their_titles(monkeypatch):
    monkeypatch.setattr("pydoc_data.topics.topics", {"with": "ab", "assert": "bc", "for": "c"})
    text = data.text()
    assert decode(text) == "bccab" and text.vocabulary == "bca"


@pytest.mark.parametrize("string", ["banana", "zyx", "héllo\n\t wörld", "\U0001f600a", "a"])
def test_encode_is_read_back(string):
    assert decode(encode(string)) == string


def test_vocabulary_goes_by_frequency_then_unicode():
    assert encode("cab bac dd!").vocabulary == " abcd!"


def test_vocabulary_does_not_depend_on_hashing():
    code = "import landscape_nb as ln; print(ln.data.encode('the quick brown fox').vocabulary)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"},
    )
    here = encode("the quick brown fox").vocabulary
    assert run.stdout.rstrip("\n") == here == " obcefhiknqrtuwx"


def test_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffé\r\nabba".encode())  # byte order mark, Windows line end
    assert decode(data.text(path)) == decode(data.text(str(path))) == "é\nabba"


def test_a_stored_vocabulary_is_kept():
    text = encode("cab", vocabulary="abcd")
    assert text.tokens.tolist() == [2, 0, 1] and text.vocabulary == "abcd"


def test_characters_outside_the_vocabulary_are_refused():
    with pytest.raises(ValueError, match="2 characters that are not in vocabulary: 'xy'"):
        encode("abyx", vocabulary="ab")


@pytest.mark.parametrize("vocabulary", ["aba", ["a", "b"], 3], ids=repr)
def test_a_vocabulary_that_is_none(vocabulary):
    with pytest.raises(ValueError, match="string in which no character repeats"):
        encode("ab", vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"\x80\xff\xfe", "is not UTF-8 text"), (b"ELF\0\0", "binary data")],
    ids=["empty", "not UTF-8", "zero bytes"],
)
def test_files_that_hold_no_text(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        data.text(path)
    assert "a.txt" in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            data.text(path)


def test_no_string():
    with pytest.raises(ValueError, match="at least one character; got an empty one"):
        encode("")
    with pytest.raises(ValueError, match="got bytes"):
        encode(b"abc")


# -- sequences -----------------------------------------------------------------------------------


def test_windows_in_order():
    s = sequences(torch.arange(11), context=3, seed=None)
    assert s.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("m", [100, 101, 103, 104])
def test_shuffled_windows_are_the_same_windows(m):
    plain, shuffled = (sequences(torch.arange(m), context=3, seed=seed) for seed in (None, 0))
    order = np.random.default_rng(0).permutation(m // 4)
    assert torch.equal(shuffled, plain[torch.as_tensor(order)])
    assert not torch.equal(shuffled, plain)
    assert sorted(shuffled.flatten().tolist()) == list(range(m // 4 * 4))


def test_seeds_order_differently():
    text = encode("the quick brown fox jumps over the lazy dog " * 5)
    one, two, again = (sequences(text, context=9, seed=seed) for seed in (0, 1, 0))
    assert torch.equal(one, again) and not torch.equal(one, two)
    assert one.shape == (22, 10) and one.dtype == torch.int64


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        (torch.arange(4), 4, "too short: one window takes context \\+ 1 = 5 tokens; got 4"),
        (torch.arange(4), 0, "context must be at least 1"),
        (torch.arange(4.0), 2, r"\(m,\) int64; got torch.float32"),
        (torch.zeros(2, 3, dtype=torch.int64), 2, r"shape \(2, 3\)"),
        ("abc", 2, "got str"),
    ],
    ids=["too short", "no context", "floats", "two dimensions", "a string"],
)
def test_tokens_that_give_no_windows(text, context, message):
    with pytest.raises(ValueError, match=message):
        sequences(text, context)


@pytest.mark.parametrize("moved", [False, True], ids=["its table", "by scikit-learn"])
def test_digits_are_those_of_scikit_learn(moved, monkeypatch):
    if moved:
        monkeypatch.setattr(data, "find_spec", lambda name: None)
    X, y = load_digits(return_X_y=True)
    found = data.digits(seed=None)
    assert torch.equal(found.inputs, torch.tensor(X / 16))
    assert torch.equal(found.labels, torch.tensor(y))
