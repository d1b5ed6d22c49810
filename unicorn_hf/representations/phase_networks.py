"""The two networks of AnisoAlign (2605.07825), trained in PyTorch: a score of image phases, a refinement of texts.

Names are the paper's: psi, alpha, A and eta are of the prior's drift, edges join a block to its partners, t is the time
of the diffusion, sigma its noise.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unicorn_hf.representations.transfers.aniso_align import Numbers, Polar, Settings, features

_NUM_WRAPS = 2
"""Windings each way that a wrapped normal distribution is summed over: noise is below two radians."""
_FREQUENCIES = 4


def refinement(texts: Polar, images: Polar, settings: Settings, seed: int) -> dict[str, Numbers]:
    """Train both networks, and return the weights of the refinement, as `AnisoAlign` names them.

    The result is the same for the same arguments, up to float32's rounding, which depends on processor and threads.

    Args:
        texts: their initialization.
        images: in the same frame.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = Prior.of(_tensor(images.phases), _tensor(images.radii), settings)
        score = Score.trained(prior, _tensor(images.phases), _tensor(images.radii), settings)
        return _refinement(prior, score, texts, settings)


@dataclass
class Prior:
    """What is measured of the images' phases, and the diffusion around it."""

    psi: Tensor
    alpha: Tensor
    coupling: tuple[Tensor, Tensor]
    """A e^(i eta) of the edges, real and imaginary part: (blocks, blocks), zero elsewhere."""
    step_size: float
    noise: tuple[float, float]

    @classmethod
    def of(cls, phases: Tensor, radii: Tensor, settings: Settings) -> "Prior":
        energy = radii.square().mean(dim=0)
        turns = torch.polar(torch.ones_like(phases), phases)
        coherence = turns.T @ turns.conj() / len(phases)
        mask = edges(coherence.abs(), settings.num_partners)
        coherence = coherence * mask
        return cls(
            psi=turns.mean(dim=0).angle(),
            alpha=energy / energy.sum(),
            coupling=(coherence.real.contiguous(), coherence.imag.contiguous()),
            step_size=settings.step_size,
            noise=(settings.least_noise, settings.most_noise),
        )

    @property
    def edges(self) -> Tensor:
        """Whether two blocks are joined: (blocks, blocks), symmetric."""
        return (self.coupling[0] != 0) | (self.coupling[1] != 0)

    def drift(self, phases: Tensor) -> Tensor:
        """grad Psi; the sum over a block's partners l of A sin(phi_k - phi_l - eta) is Im(e^(i phi_k) conj(field))."""
        real, imaginary = self.coupling
        sin, cos = phases.sin(), phases.cos()
        field = cos @ real.T - sin @ imaginary.T, cos @ imaginary.T + sin @ real.T
        return self.alpha * (phases - self.psi).sin() + sin * field[0] - cos * field[1]

    def perturbed(self, phases: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Phases after a step along the drift and noise, the times t, and the score there."""
        t = torch.rand(len(phases), 1)
        mean = phases - self.step_size * self.drift(phases)
        noise = (2 * self.sigma(t)).sqrt() * torch.randn_like(phases)
        return mean + noise, t, score_of_noise(noise, 2 * self.sigma(t))

    def sigma(self, t: Tensor) -> Tensor:
        least, most = self.noise
        return least * (most / least) ** t

    def loss(self, score: "Score", phases: Tensor, log_radii: Tensor) -> Tensor:
        """The mean over rows and blocks of lambda_t |s - grad log q|², lambda_t = 2 sigma_t²."""
        moved, t, wanted = self.perturbed(phases)
        return (2 * self.sigma(t).square() * (score(moved, t, log_radii) - wanted).square()).mean()


class Score:
    """s(phi, t, log rho): the score of the perturbed phases."""

    def __init__(self, num_blocks: int, log_radii: Tensor, noise: Callable[[Tensor], Tensor], hidden: int) -> None:
        self.layers = perceptron(3 * num_blocks + 2 * _FREQUENCIES, hidden, num_blocks)
        self.mean, self.spread, self.noise = log_radii.mean(dim=0), log_radii.std(dim=0) + 1e-6, noise

    def __call__(self, phases: Tensor, t: Tensor, log_radii: Tensor) -> Tensor:
        times = math.pi * t * 2.0 ** torch.arange(_FREQUENCIES)
        known = [phases.sin(), phases.cos(), (log_radii - self.mean) / self.spread, times.sin(), times.cos()]
        # A score is as large as the inverse of the noise.
        made: Tensor = self.layers(torch.cat(known, dim=1)) / (2 * self.noise(t)).sqrt()
        return made

    @classmethod
    def trained(cls, prior: Prior, phases: Tensor, radii: Tensor, settings: Settings) -> "Score":
        """A score network of the images' phases; its weights are fixed from then on."""
        log_radii = radii.log()
        score = cls(phases.shape[1], log_radii, prior.sigma, settings.hidden)
        for rows in steps(score.layers, len(phases), settings):
            prior.loss(score, phases[rows], log_radii[rows]).backward()
        score.layers.requires_grad_(False)
        return score


def _refinement(prior: Prior, score: Score, texts: Polar, settings: Settings) -> dict[str, Numbers]:
    known = _tensor(features(texts))
    mean, spread = known.mean(dim=0), known.std(dim=0)
    spread = torch.where(spread > 1e-6, spread, torch.ones_like(spread))
    known = (known - mean) / spread
    phases, log_radii = _tensor(texts.phases), _tensor(texts.radii).log()
    num_blocks = phases.shape[1]
    network = perceptron(known.shape[1], settings.hidden, 2 * num_blocks)
    for rows in steps(network, len(known), settings):
        moves = network(known[rows]).tanh()
        turned = phases[rows] + settings.most_turn * moves[:, :num_blocks]
        stretched = log_radii[rows] + settings.most_stretch * moves[:, num_blocks:]
        kept = phase_loss(turned - phases[rows], log_radii[rows].exp(), prior.edges)
        (prior.loss(score, turned, stretched) + settings.phase_weight * kept).backward()
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    made: dict[str, Numbers] = {}
    for number, layer in enumerate(layers, start=1):
        weights, bias = layer.weight.detach().T, layer.bias.detach()
        if number == 1:
            weights = weights / spread[:, None]
            bias = bias - mean @ weights
        made |= {f"weights_{number}": weights.contiguous().numpy(), f"bias_{number}": bias.numpy()}
    return made


def phase_loss(turns: Tensor, radii: Tensor, joined: Tensor) -> Tensor:
    """L_Phi, without the division by the number of edges: how much the phases of joined blocks turn to each other.

    The sum over edges of w_kl (1 - cos(d_k - d_l)), w_kl = rho_k rho_l / (sum over edges).
    """
    joined = joined.to(radii.dtype)
    sin, cos = radii * turns.sin(), radii * turns.cos()
    kept = (cos * (cos @ joined)).sum(dim=1) + (sin * (sin @ joined)).sum(dim=1)
    whole = (radii * (radii @ joined)).sum(dim=1)
    return ((whole - kept) / (whole + 1e-12)).mean()


def score_of_noise(noise: Tensor, variance: Tensor) -> Tensor:
    """grad log q of a wrapped normal distribution, at this distance from its mean."""
    wound = noise[..., None] - 2 * math.pi * torch.round(noise[..., None] / (2 * math.pi))
    distances = wound + 2 * math.pi * torch.arange(-_NUM_WRAPS, _NUM_WRAPS + 1)
    shares = (-distances.square() / (2 * variance[..., None])).softmax(dim=-1)
    return -(shares * distances).sum(dim=-1) / variance


def edges(coherence: Tensor, num_partners: int) -> Tensor:
    """Each block's partners of the largest coherence, both ways: (blocks, blocks) of booleans."""
    num_blocks = len(coherence)
    apart = coherence - 2 * torch.eye(num_blocks)
    best = apart.topk(min(num_partners, num_blocks - 1), dim=1).indices
    chosen = torch.zeros(num_blocks, num_blocks, dtype=torch.bool).scatter(1, best, True)
    return chosen | chosen.T


def perceptron(width: int, hidden: int, out: int) -> nn.Sequential:
    last = nn.Linear(hidden, out)
    nn.init.zeros_(last.weight)  # Begin without a change.
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)


def steps(network: nn.Module, num_rows: int, settings: Settings) -> Iterator[Tensor]:
    """Yield the rows of each step of a training; the loop's body computes the gradients."""
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.num_steps)
    for _ in range(settings.num_steps):
        optimizer.zero_grad()
        yield torch.randint(num_rows, (min(settings.batch_size, num_rows),))
        optimizer.step()
        schedule.step()


def _tensor(values: Numbers) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
