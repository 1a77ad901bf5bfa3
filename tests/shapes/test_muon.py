from __future__ import annotations

import pytest
import torch

from fdplug.shapes.training.flow.muon import MOMENTUM, Muon, orthogonalised
from fdplug.shapes.training.workers import Workers


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 24, 8), (2, 8, 24)])
def test_orthogonalised_matrices_keep_their_singular_vectors(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalised(matrices)
    assert found.shape == matrices.shape
    for one, given in zip(found, matrices, strict=True):
        left, _, right = torch.linalg.svd(given, full_matrices=False)
        inner = left.T @ one @ right.T
        torch.testing.assert_close(inner - inner.diag().diag(), torch.zeros_like(inner), atol=1e-3, rtol=0)
        assert ((inner.diag() > 0.5) & (inner.diag() < 1.3)).all()


def test_what_is_no_matrix_is_moved_as_by_adamw() -> None:
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 12)) for _ in range(2))
    muon = Muon([{"params": [ours], "lr": 0.01}], Workers(), weight_decay=0.1)
    adamw = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(5):
        for parameter, optimizer in ((ours, muon), (theirs, adamw)):
            optimizer.zero_grad()
            (parameter.sin() * (step + 1)).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_a_matrix_moves_along_its_momentum() -> None:
    parameter = torch.nn.Parameter(torch.zeros(6, 3))
    gradients = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1))
    muon = Muon([{"params": [parameter], "lr": 0.1, "matrices": True}], Workers())
    expected, momentum = torch.zeros(6, 3), torch.zeros(6, 3)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        muon.step()
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        ahead = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        expected -= 0.1 * 2**0.5 * orthogonalised(ahead[None])[0]
    torch.testing.assert_close(parameter.detach(), expected)
