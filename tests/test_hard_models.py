"""Models and losses on which a wrong number would pass unseen: each is right, or refused.

Oracles: finite differences of gradients, one sample at a time in reverse mode, plain loops.
"""

import pytest
import torch
from draws import generator
from torch import nn

from landscape_nb import (
    EmpiricalLoss,
    full_space_table,
    increment_model,
    next_sample_models,
    random_subspace,
)

cross_entropy = nn.CrossEntropyLoss(reduction="none")


def build(model, n=12, inputs=4, loss_fn=cross_entropy, dtype=torch.float64, ordered=False):
    x = torch.randn(n, inputs, generator=generator(1), dtype=torch.float64).to(dtype)
    x = x[x[:, 0].argsort()] if ordered else x
    y = torch.randint(3, (n,), generator=generator(2))
    return EmpiricalLoss(model.to(dtype), loss_fn, x, y)


class Branches(nn.Module):
    """Only some samples pass through layer_norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.plain = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.where(x[:, :1] > 0, self.norm(x), 5 * self.plain(x)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.lstm(x.view(-1, 2, 2))[0][:, -1])


@pytest.mark.parametrize("ordered", [False, True], ids=["mixed", "wrong ones last"])
@pytest.mark.parametrize("memory", [1e9, 1.0], ids=["one chunk", "a chunk per sample"])
@pytest.mark.parametrize("seed", range(4), ids="seed={}".format)
def test_branches_by_sample(seed, memory, ordered):
    torch.manual_seed(seed)
    loss = build(Branches(), ordered=ordered)
    U = random_subspace(loss.num_params, 3, generator(seed))
    models = next_sample_models(loss, loss.w0, U, 5, memory=memory)
    for j, i in enumerate(range(5, 12)):
        H = loss.hvp(loss.w0, U, range(i, i + 1)) - loss.hvp(loss.w0, U, 5)
        torch.testing.assert_close(models.B[j], U.T @ H / 6, rtol=0, atol=1e-9)


def test_weight_norm_is_refused():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
    with pytest.raises(ValueError, match="Hessian is not symmetric"):
        build(nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 3)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_refused(dtype):
    with pytest.raises(ValueError, match="too coarse"):
        build(nn.Linear(4, 3), dtype=dtype)


@pytest.mark.parametrize("scale", [1.0, 1e-6], ids="scale={:g}".format)
def test_dropout_is_found_at_any_scale_of_the_loss(scale):
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    with pytest.raises(ValueError, match="random"):
        build(model, loss_fn=lambda out, y: scale * cross_entropy(out, y), dtype=torch.float32)


def test_a_loss_in_higher_precision_than_the_model_is_accepted():
    loss = build(
        nn.Linear(4, 3), loss_fn=lambda out, y: cross_entropy(out.double(), y), dtype=torch.float32
    )
    assert loss.gradient(loss.w0, 3).dtype == torch.float32


def test_a_derivative_that_is_not_finite_is_refused():
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    loss = build(model, loss_fn=lambda out, y: out.square().sum(1).sqrt())
    with pytest.raises(ValueError, match="gradient is not finite though the loss is"):
        loss.gradient(loss.w0, 3)


def test_group_norm_has_a_dense_hessian():
    loss = build(nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4), nn.Linear(4, 3)))
    columns = [loss.hvp(loss.w0, e, 6) for e in torch.eye(loss.num_params, dtype=torch.float64)]
    torch.testing.assert_close(loss.hessian(loss.w0, 6), torch.stack(columns))


def test_recurrent_layers_have_sample_gradients():
    loss = build(Recurrent())
    rows = [loss.gradient(loss.w0, range(i, i + 1)) for i in range(6)]
    torch.testing.assert_close(loss.sample_gradients(loss.w0, 6), torch.stack(rows))
    table = full_space_table(loss, [loss.w0], [6], num_probes=3, generator=generator())
    assert torch.isfinite(table.gradient).all()


def test_a_model_that_cannot_be_copied_is_refused_in_words():
    model = nn.Linear(4, 3)
    model.cached = model.weight * 2
    with pytest.raises(ValueError, match="can't be copied"):
        build(model)


def test_a_large_l2_term_costs_no_digits():
    torch.manual_seed(0)
    plain = build(nn.Linear(4, 3))
    heavy = EmpiricalLoss(plain.model, cross_entropy, plain.inputs, plain.targets, l2=1e8)
    U = random_subspace(plain.num_params, 2, generator())
    a, b = (increment_model(loss, plain.w0, U, 5) for loss in (plain, heavy))
    torch.testing.assert_close(a.B, b.B, rtol=1e-12, atol=1e-16)


class TwoOutputs(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    ("model", "x", "y", "names"),
    [
        (nn.Linear(4, 3), torch.ones(5, 4), torch.full((5,), 3), "IndexError"),
        (nn.Linear(4, 3), torch.ones(5, 4), torch.zeros(5), "RuntimeError"),
        (nn.Linear(4, 3), torch.ones(5, 2, 3), torch.zeros(5).long(), "RuntimeError"),
        (
            nn.Linear(4, 3),
            torch.ones(5, 4, dtype=torch.uint8),
            torch.zeros(5).long(),
            "RuntimeError",
        ),
        (TwoOutputs(4, 3), torch.ones(5, 4), torch.zeros(5).long(), "TypeError"),
        (nn.Bilinear(4, 4, 3), torch.ones(5, 4), torch.zeros(5).long(), "TypeError"),
    ],
    ids=["label K", "float labels", "images", "bytes", "tuple", "two inputs"],
)
def test_what_does_not_fit_together_is_refused_in_words(model, x, y, names):
    """PyTorch's own error is quoted, and what to look at is said."""
    with pytest.raises(
        ValueError, match=f"can't be evaluated on the first 5 samples: {names}: "
    ) as refusal:
        EmpiricalLoss(model, nn.CrossEntropyLoss(reduction="none"), x, y)
    assert "in 0..K-1" in str(refusal.value) and refusal.value.__cause__ is not None
