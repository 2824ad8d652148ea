"""Real data that needs no download."""

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics import checks


class Digits(NamedTuple):
    """Handwritten digits: inputs (n, 64) in 0..1, labels (n,)."""

    inputs: Tensor
    labels: Tensor


def digits(
    n: int | None = None, *, seed: int | None = 0, dtype: torch.dtype = torch.float64
) -> Digits:
    """scikit-learn's 8 x 8 handwritten digits (UCI, Alpaydin and Kaynak 1998), 1797 of them.

    Args:
        n: how many; all if not given.
        seed: order of the samples; None keeps the file's order. The order matters here, because
            L_k is the mean of the *first* k.
        dtype: of the inputs.

    Returns:
        inputs (n, 64), grey values divided by 16; labels (n,), 0..9.

    >>> x, y = digits(5)
    >>> tuple(x.shape), float(x.max()) <= 1.0, y.dtype
    ((5, 64), True, torch.int64)
    """
    checks.real_dtype("dtype", dtype)
    X, y = _digits()
    n = len(X) if n is None else checks.whole_number("n", n, 1, len(X), "that many digits exist")
    order = np.arange(len(X)) if seed is None else np.random.default_rng(seed).permutation(len(X))
    chosen = order[:n]
    return Digits(torch.as_tensor(X[chosen] / 16.0, dtype=dtype), torch.as_tensor(y[chosen]).long())


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Grey values (1797, 64) and labels (1797,) as `sklearn.datasets.load_digits` returns them."""
    # Its table is read past scikit-learn, whose import takes longer than this package's and keeps
    # 40 MB; where the table has moved to, only scikit-learn knows.
    found = find_spec("sklearn")
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if path.exists():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1].astype(int)
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X, y


class Text(NamedTuple):
    """A text, one character to a token: tokens (m,) int64, and the characters they stand for."""

    tokens: Tensor
    vocabulary: str


def text(path: str | Path | None = None, *, vocabulary: str | None = None) -> Text:
    r"""A text as a row of tokens: Python's own help pages, or any UTF-8 file.

    The help pages (`pydoc_data.topics`, joined in alphabetical order of their titles) come with
    Python: about 465 000 characters, 103 different ones. They differ a little from one version of
    Python to the next.

    Args:
        path: a UTF-8 text file; Python's help pages if not given. Line ends are read as one "\n".
        vocabulary: the characters in the order of their tokens, as an earlier call returned them;
            by default those of the text, as `encode` orders them.

    Returns:
        tokens (m,) and vocabulary: character j of the text is vocabulary[tokens[j]].

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, is not UTF-8 text, or has characters outside vocabulary.

    >>> tokens, vocabulary = text()
    >>> tokens.dtype, vocabulary[:4]
    (torch.int64, ' eta')
    """
    return encode(_help_pages() if path is None else _file(Path(path)), vocabulary)


def encode(string: str, vocabulary: str | None = None) -> Text:
    """A string as a row of tokens, one for each character.

    Args:
        string: not empty.
        vocabulary: the characters in the order of their tokens; by default those of the string,
            the most frequent first and ties in the order of Unicode.

    Raises:
        ValueError: an empty string, a repeated character in vocabulary, or characters outside it:
            they are refused, because to drop them would silently change every later position.

    >>> tokens, vocabulary = encode("banana")
    >>> tokens.tolist(), vocabulary
    ([2, 0, 1, 0, 1, 0], 'anb')
    """
    if not isinstance(string, str) or not string:
        got = "an empty one" if string == "" else type(string).__name__
        raise ValueError(f"The text must be a string with at least one character; got {got}.")
    counts = Counter(string)
    if vocabulary is None:
        vocabulary = "".join(sorted(counts, key=lambda c: (-counts[c], c)))
    if not isinstance(vocabulary, str) or len(set(vocabulary)) != len(vocabulary):
        raise ValueError(
            "vocabulary must be a string in which no character repeats; got "
            f"{vocabulary!r}. Pass the vocabulary that an earlier call returned."
        )
    unknown = sorted(counts.keys() - set(vocabulary))
    if unknown:
        raise ValueError(
            f"The text has {len(unknown)} characters that are not in vocabulary: "
            f"{''.join(unknown[:10])!r}. Leave vocabulary out, or replace them in the text."
        )
    token = {character: j for j, character in enumerate(vocabulary)}
    return Text(torch.tensor([token[character] for character in string]), vocabulary)


def sequences(text: Text | Tensor, context: int, *, seed: int | None = 0) -> Tensor:
    """Cut a text into samples: windows of context + 1 tokens that do not overlap, in random order.

    Of each window the first `context` tokens are the input, the last `context` the targets. The
    rest of the text that fills no window is left out.

    Args:
        text: what `text` returns, or its tokens, (m,) int64.
        context: length of an input sequence.
        seed: order of the windows; None keeps the text's. The order matters here, because L_k is
            the mean of the *first* k.

    Returns:
        (n, context + 1) int64, n = m // (context + 1).

    Raises:
        ValueError: tokens of another shape or dtype, or too few of them for one window.

    >>> sequences(torch.arange(8), context=2, seed=None)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    tokens = text.tokens if isinstance(text, Text) else text
    if not isinstance(tokens, Tensor) or tokens.ndim != 1 or tokens.dtype != torch.int64:
        got = (
            f"{tokens.dtype} of shape {tuple(tokens.shape)}"
            if isinstance(tokens, Tensor)
            else type(tokens).__name__
        )
        raise ValueError(f"text must be a Text or its tokens, (m,) int64; got {got}.")
    context = checks.whole_number("context", context, 1, None, "length of an input sequence")
    n = len(tokens) // (context + 1)
    if n == 0:
        raise ValueError(
            f"The text is too short: one window takes context + 1 = {context + 1} tokens; got "
            f"{len(tokens)}. Take a longer text or a smaller context."
        )
    windows = tokens[: n * (context + 1)].view(n, context + 1)
    order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    return windows[torch.as_tensor(order)]


def _help_pages() -> str:
    # Imported here because hardly anyone who loads this package needs half a megabyte of help.
    from pydoc_data.topics import topics

    return "".join(topics[title] for title in sorted(topics))


def _file(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {str(path)!r}. Paths are relative to the working directory, "
            f"{str(Path.cwd())!r}."
        )
    try:
        string = path.read_text(encoding="utf-8-sig")  # -sig: without a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start}). Save it as UTF-8 first."
        ) from error
    if "\0" in string:
        raise ValueError(f"{str(path)!r} holds zero bytes: binary data, not text.")
    if not string:
        raise ValueError(f"{str(path)!r} is empty. Take a file with some text in it.")
    return string
