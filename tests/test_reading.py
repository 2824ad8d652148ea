"""What a transformer makes of a text, against its losses and against counting by hand."""

from collections import Counter

import numpy as np
import pytest
import torch
from explorables import reading

from landscape_nb.problems.reading import continued, counting_losses, log_chances, surprises


@pytest.mark.parametrize("checkpoint", [0, 1, -1])
def test_mean_surprise_is_the_loss_of_the_sequence(checkpoint):
    run, rows = reading(0), [3, 17, 0]
    loss = run.loss(rows, checkpoint=checkpoint)
    found = surprises(run, rows, checkpoint)
    assert found.shape == (3, run.config.context)
    torch.testing.assert_close(found.mean(1), loss.per_sample(loss.w0).float())


def test_a_chance_depends_on_what_stood_before_alone():
    run = reading(1)
    found = log_chances(run, [5])[0].exp()
    for place in (0, 4, 11):
        logits = run.model()(run.sequences[5:6, : place + 1])[0, -1].detach().numpy()
        chances = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(found[place], chances, rtol=1e-5)


@pytest.mark.parametrize("given, count", [(1, 3), (5, 12), (13, 1)])
def test_a_text_goes_on_with_the_likeliest_characters(given, count):
    run = reading(2)
    text = run.sequences[18, :given].tolist()
    model = run.model(1)
    for _ in range(count):
        text.append(int(model(torch.tensor([text[-run.config.context :]]))[0, -1].argmax()))
    expected = "".join(run.vocabulary[token] for token in text[given:])
    assert continued(run, 18, given, count, checkpoint=1) == expected


@pytest.mark.parametrize(
    "given, count, sentence",
    [
        (0, 5, "given must be between 1 and 13 .characters of the sequence.; got given = 0"),
        (14, 5, "given must be between 1 and 13"),
        (3, 0, "count must be at least 1 .characters to write.; got count = 0"),
    ],
)
def test_refusals(given, count, sentence):
    with pytest.raises(ValueError, match=sentence):
        continued(reading(0), 12, given, count)


def test_counting_characters_and_pairs():
    run = reading(0)
    V = len(run.vocabulary)
    train, test = (part.tolist() for part in run.sequences.split([11, 9]))
    pairs = Counter((a, b) for row in train for a, b in zip(row, row[1:], strict=False))
    smoothed = {(a, b): pairs[a, b] + 0.1 for a in range(V) for b in range(V)}
    total = sum(smoothed.values())
    second = [sum(smoothed[a, b] for a in range(V)) for b in range(V)]
    first = [sum(smoothed[a, b] for b in range(V)) for a in range(V)]
    steps = [(a, b) for row in test for a, b in zip(row, row[1:], strict=False)]
    by_character = -np.mean([np.log(second[b] / total) for _, b in steps])
    by_pair = -np.mean([np.log(smoothed[a, b] / first[a]) for a, b in steps])
    assert counting_losses(run) == pytest.approx((by_character, by_pair), rel=1e-5)


def test_batches_of_sequences_stand_in_their_order(monkeypatch):
    run, rows = reading(0), [7, 3, 17, 0, 5]
    monkeypatch.setattr("landscape_nb.problems.reading.BATCH", 2)
    alone = torch.cat([surprises(run, [row]) for row in rows])
    torch.testing.assert_close(surprises(run, rows), alone)
    assert log_chances(run, rows).shape[:2] == (5, run.config.context)
