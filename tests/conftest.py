"""One thread, a browser for each file, and a small network with an oracle of its own route."""

from types import SimpleNamespace

import pytest
import torch
from browser import chromium
from torch.func import functional_call

from landscape_nb import EmpiricalLoss
from landscape_nb.problems.models import MLP


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)  # small models run faster on one


@pytest.fixture(scope="module")
def browser():
    """A Chromium for the tests of one file; nothing may be left in its log."""
    with chromium() as driver:
        yield driver
        assert [entry["message"] for entry in driver.get_log("browser")] == []


@pytest.fixture(scope="session")
def mlp_problem():
    """Build a small tanh MLP, its EmpiricalLoss and `reference(w, samples)`, L by torch alone."""

    def build(n=10, widths=(3, 4, 3), l2=0.0, dtype=torch.float64, seed=0, **options):
        g = torch.Generator().manual_seed(seed)
        model = MLP(widths, dtype=dtype, generator=g)
        x = torch.randn(n, widths[0], generator=g, dtype=torch.float64).to(dtype)
        y = torch.randint(widths[-1], (n,), generator=g)
        loss_fn = torch.nn.CrossEntropyLoss(reduction="none")
        named = dict(model.named_parameters())

        def reference(w, samples=slice(None)):
            pieces = w.split([p.numel() for p in named.values()])
            at_w = {k: v.reshape(p.shape) for (k, p), v in zip(named.items(), pieces, strict=True)}
            losses = loss_fn(functional_call(model, at_w, (x[samples],)), y[samples])
            return losses.mean() + l2 / 2 * (w @ w)

        w = torch.randn(sum(p.numel() for p in named.values()), generator=g, dtype=torch.float64)
        loss = EmpiricalLoss(model, loss_fn, x, y, l2, **options)
        return SimpleNamespace(
            model=model, loss_fn=loss_fn, x=x, y=y, l2=l2, loss=loss, reference=reference,
            w=w.to(dtype), N=loss.num_params, n=n,
        )  # fmt: skip

    return build
