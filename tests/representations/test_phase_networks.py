"""The parts of AnisoAlign's training, against their formulas written out in NumPy, term by term."""

import math

import numpy as np
import pytest
import torch

from unicorn_hf.representations.phase_networks import Prior, edges, phase_loss, score_of_noise
from unicorn_hf.representations.transfers.aniso_align import Settings


def random_prior(num_blocks: int = 6) -> tuple[Prior, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(num_blocks)
    phases = torch.randn(200, num_blocks, generator=generator) + 0.5
    phases[:, 1] = phases[:, 0] + 0.3 * torch.randn(200, generator=generator) + 1
    radii = torch.rand(200, num_blocks, generator=generator) + 0.1
    return Prior.of(phases, radii, Settings(num_partners=2)), phases, radii


def test_the_drift_is_its_formula() -> None:
    prior, phases, radii = random_prior()
    theta, rho = phases.double().numpy(), radii.double().numpy()
    psi, energy = np.angle(np.exp(1j * theta).mean(axis=0)), np.square(rho).mean(axis=0)
    coherence = np.exp(1j * (theta[:, :, None] - theta[:, None, :])).mean(axis=0)
    joined = prior.edges.numpy()
    found = prior.drift(phases[:5]).numpy()
    for row in range(5):
        for k in range(theta.shape[1]):
            wanted = energy[k] / energy.sum() * np.sin(theta[row, k] - psi[k])
            for other in np.flatnonzero(joined[k]):
                size, angle = np.abs(coherence[k, other]), np.angle(coherence[k, other])
                wanted += size * np.sin(theta[row, k] - theta[row, other] - angle)
            assert found[row, k] == pytest.approx(wanted, abs=1e-5)


def test_partners_are_the_most_coherent_both_ways() -> None:
    prior, phases, _ = random_prior()
    joined = prior.edges
    assert joined[0, 1]
    assert torch.equal(joined, joined.T)
    assert not joined.diagonal().any()
    assert (joined.sum(dim=1) >= 2).all()
    assert not edges(torch.ones(1, 1), 4).any()
    turns = torch.polar(torch.ones_like(phases), phases)
    best = (turns.T @ turns.conj()).abs().fill_diagonal_(0).topk(2, dim=1).indices
    for k, partners in enumerate(best.tolist()):
        assert joined[k, partners].all()


@pytest.mark.parametrize("variance", [0.02, 0.3, 2.0])
def test_the_score_of_wrapped_noise_is_the_derivative_of_its_density(variance: float) -> None:
    noise = torch.linspace(-9, 9, 41, dtype=torch.float64).requires_grad_()
    turns = 2 * math.pi * torch.arange(-9, 10, dtype=torch.float64)
    density = torch.exp(-(noise[:, None] + turns).square() / (2 * variance)).sum(dim=1)
    (wanted,) = torch.autograd.grad(density.log().sum(), noise)
    found = score_of_noise(noise.detach()[:, None], torch.full((41, 1), variance, dtype=torch.float64))
    torch.testing.assert_close(found[:, 0], wanted, rtol=1e-4, atol=1e-6)


def test_the_phase_loss_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    turns, radii = torch.randn(3, 4, generator=generator), torch.rand(3, 4, generator=generator)
    joined = edges(torch.rand(4, 4, generator=generator), 1)
    found = phase_loss(turns, radii, joined)
    wanted = []
    for row in range(3):
        pairs = [(k, other) for k in range(4) for other in range(k) if joined[k, other]]
        weights = np.array([float(radii[row, k] * radii[row, other]) for k, other in pairs])
        moved = np.array([1 - math.cos(float(turns[row, k] - turns[row, other])) for k, other in pairs])
        wanted.append((weights * moved).sum() / weights.sum())
    assert float(found) == pytest.approx(np.mean(wanted), abs=1e-5)
    assert float(phase_loss(torch.full((3, 4), 0.7), radii, joined)) == pytest.approx(0, abs=1e-6)
