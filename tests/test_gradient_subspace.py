"""Principal components of unseen samples' gradients, against autograd and a Gram matrix."""

import pytest
import torch
from torch.func import grad

import landscape_nb as ln

F64 = {"dtype": torch.float64}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def projector(U):
    return U @ U.T


def by_gram_matrix(G, D):
    """The leading left singular vectors of G (N, m) by another route: G v of the Gram matrix."""
    _, V = torch.linalg.eigh(G.T @ G)
    return torch.linalg.qr(G @ V[:, -D:]).Q


@pytest.mark.parametrize("D", [1, 2, 4])
def test_against_single_gradients_and_their_gram_matrix(mlp_problem, D):
    p, k, samples = mlp_problem(l2=0.2), 3, [4, 5, 7, 8, 9]
    each = torch.stack([grad(p.reference)(p.w, [i]) for i in samples], dim=1)
    G = each - grad(p.reference)(p.w, slice(k))[:, None]  # the L2 term cancels
    U = ln.gradient_subspace(p.loss, p.w, k, torch.tensor(samples), D)
    assert torch.allclose(U.T @ U, torch.eye(D, **F64), atol=1e-12)
    torch.testing.assert_close(projector(U), projector(by_gram_matrix(G, D)), rtol=0, atol=1e-8)
    wrong = {
        "centred": G - G.mean(1, keepdim=True),
        "without g^(k)": each,
        "lengths": G / G.norm(dim=0),
    }
    for name, other in wrong.items():
        gap = (projector(U) - projector(by_gram_matrix(other, D))).norm()
        assert gap > 1e-3, f"the test can't tell {name}"


def test_no_other_subspace_catches_more_of_these_gradients(mlp_problem):
    p = mlp_problem(l2=0.2)
    G = p.loss.sample_gradients(p.w, range(4, 10)) - p.loss.without_l2().gradient(p.w, 4)
    energies = [
        float((G @ U).square().sum())
        for U in (
            ln.gradient_subspace(p.loss, p.w, 4, range(4, 10), 2),
            ln.top_eigenpairs(p.loss, p.w, 4, 2).vectors,
            ln.random_subspace(p.N, 2, generator()),
        )
    ]
    assert energies[0] == max(energies)


def test_a_transformer_in_float32():
    config = ln.models.TransformerConfig(
        7, context=8, width=16, depth=1, heads=2, kv_heads=1, hidden=32
    )
    model = ln.models.DecoderTransformer(config, generator=generator(), dtype=torch.float32)
    tokens = torch.randint(7, (24, 9), generator=generator(1))
    loss = ln.EmpiricalLoss(model, ln.models.sequence_loss, tokens[:, :-1], tokens[:, 1:])
    U = ln.gradient_subspace(loss, loss.w0, 4, range(4, 20), D=4)
    assert U.dtype == torch.float32 and U.shape == (loss.num_params, 4)
    G = (loss.sample_gradients(loss.w0, range(4, 20)) - loss.gradient(loss.w0, 4)).double()
    best = torch.linalg.eigvalsh(G @ G.T)[-4:].sum() / G.square().sum()
    share = (G @ U.double()).square().sum() / G.square().sum()
    assert abs(float(share / best) - 1) < 1e-4


def test_directions_that_were_not_asked_for_are_not_kept(mlp_problem):
    p = mlp_problem(l2=0.2)
    U = ln.gradient_subspace(p.loss, p.w, 3, range(4, 9), 2)
    assert U.untyped_storage().nbytes() == U.numel() * U.element_size()
