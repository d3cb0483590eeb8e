"""The flow's update in float64 against closed forms: SAC's loss, the written WPO gradient, W₂ by POT, a quadrature."""

import math
from itertools import pairwise

import numpy as np
import ot
import pytest
import torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, TransformedDistribution
from torch.distributions.kl import kl_divergence
from torch.distributions.transforms import TanhTransform
from torch.func import functional_call

from sb3_wasserstein.flow.neural.metric import WassersteinMetric, dot
from sb3_wasserstein.flow.wpo.transport import Draw, LatentLaw, Velocity, kl_to, transport_loss, velocity, w2_to

TEMPERATURE = 0.3


class Network(torch.nn.Module):
    """Means, widths and weights of K components over k actions, from states."""

    def __init__(self, components, k, seed=0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.components, self.k = components, k
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 7), torch.nn.Tanh()).double()
        self.head = torch.nn.Linear(7, components * (2 * k + 1)).double()

    def forward(self, states):
        found = self.head(self.body(states)).unflatten(1, (self.components, 2 * self.k + 1))
        means, log_stds, logits = found[..., : self.k], found[..., self.k : 2 * self.k], found[..., -1]
        return LatentLaw(means, (0.5 * log_stds - 0.5).exp(), logits.log_softmax(-1))


def states(count=5):
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def value(actions):
    """A Q that is no polynomial, differs between actions and states, and has several tops; (S, B, k) -> (S, B)."""
    offset = torch.linspace(-1, 1, actions.shape[1], dtype=actions.dtype)[None, :, None]
    return (torch.sin(4 * actions + offset) - 0.5 * actions**2).sum(-1) + actions.prod(-1)


def hermite(nodes, k):
    """Nodes (nodes^k, k) and weights of the standard normal."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    mesh = np.stack(np.meshgrid(*[x] * k, indexing="ij"), -1).reshape(-1, k)
    weights = np.stack(np.meshgrid(*[w / w.sum()] * k, indexing="ij"), -1).reshape(-1, k).prod(1)
    return torch.as_tensor(mesh), torch.as_tensor(weights)


def quadrature(law, nodes):
    """What LatentLaw.draw draws, with the expectation exact."""
    k = law.means.shape[2]
    points, weights = hermite(nodes, k)
    latents = law.means[None] + law.stds[None] * points[:, None, None]
    shares = weights[:, None, None] * law.log_weights.exp()[None]
    return Draw(latents.transpose(1, 2).reshape(-1, len(law.means), k), shares.transpose(1, 2).reshape(-1, len(law.means)))


def gradients(loss, module):
    found = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    return torch.cat(
        [torch.zeros(p.numel()) if g is None else g.reshape(-1) for g, p in zip(found, module.parameters(), strict=True)]
    )


def test_variance_rescaled_wpo_is_the_reparametrised_gradient() -> None:
    """E[∇_θ ∇_a log π · v] with the mean's part times σ² and the width's times σ²/2, sample by sample (Pfau et al. 2025)."""
    network = Network(1, 2)
    law = network(states())
    draw = law.draw(3)
    field = torch.randn(draw.latents.shape, dtype=torch.float64)
    ours = gradients(
        transport_loss(draw, Velocity(field, torch.zeros(field.shape[:2]), torch.zeros(field.shape[:2]))), network
    )

    means, stds = (x[:, 0].detach().requires_grad_(True) for x in (law.means, law.stds))
    u = draw.latents.detach().requires_grad_(True)
    (score,) = torch.autograd.grad(Normal(means, stds).log_prob(u).sum(), u, create_graph=True)
    by_mean, by_std = torch.autograd.grad((score * field).sum() / field[..., 0].numel(), (means, stds))
    law = network(states())
    rescaled = (law.means[:, 0] * (stds**2 * by_mean).detach()).sum() + (
        law.stds[:, 0] * (0.5 * stds**2 * by_std).detach()
    ).sum()
    np.testing.assert_allclose(ours, -gradients(rescaled, network), atol=1e-10, rtol=0)
    assert ours.abs().max() > 1e-2


def test_with_entropy_it_is_sacs_expected_update() -> None:
    """SAC's loss, through SB3's own distribution, at Gauss–Hermite nodes: the score it adds has expectation 0 there."""
    network = Network(1, 2)
    law = network(states())
    draw = quadrature(law, 9)
    ours = gradients(transport_loss(draw, velocity(value, law, draw.latents, TEMPERATURE)), network)

    law = network(states())
    draw = quadrature(law, 9)
    loss = torch.zeros((), dtype=torch.float64)
    for u, weight in zip(draw.latents, draw.weights.detach(), strict=True):
        distribution = SquashedDiagGaussianDistribution(2).proba_distribution(law.means[:, 0], law.stds[:, 0].log())
        log_prob = distribution.log_prob(torch.tanh(u), u)
        loss = loss + (weight * (TEMPERATURE * log_prob - value(torch.tanh(u)[None])[0])).mean()
    np.testing.assert_allclose(ours, gradients(loss, network), atol=1e-10, rtol=0)
    assert ours.abs().max() > 1e-2


def test_the_metric_is_the_limit_of_w2() -> None:
    """dᵀ G d = lim W₂²(π_θ, π_{θ + t d}) / t², by Richardson's extrapolation of the closed form."""
    network = Network(1, 2)
    at = states()
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    direction = {name: torch.randn_like(p) for name, p in parameters.items()}

    def law(t):
        return functional_call(network, {name: p + t * direction[name] for name, p in parameters.items()}, (at,))

    def quotient(t):
        return 0.5 * sum(float(w2_to(law(0.0), law(s))) for s in (t, -t)) / t**2

    metric = WassersteinMetric(lambda theta: functional_call(network, theta, (at,)).coordinates(), parameters)
    exact = float(dot(direction, metric(direction)))
    rough = [quotient(4e-3 / 2**i) for i in range(3)]
    better = [(4 * b - a) / 3 for a, b in pairwise(rough)]
    assert (16 * better[1] - better[0]) / 15 == pytest.approx(exact, rel=1e-10)


def test_w2_is_pots_and_kl_is_torchs() -> None:
    one, other = Network(1, 2)(states()).detach(), Network(1, 2, seed=1)(states()).detach()
    exact = [
        ot.gaussian.bures_wasserstein_distance(
            *(law.means[i, 0].numpy() for law in (one, other)), *(np.diag(law.stds[i, 0].numpy() ** 2) for law in (one, other))
        )
        ** 2
        for i in range(5)
    ]
    assert float(w2_to(one, other)) == pytest.approx(np.mean(exact), rel=1e-7)
    pair = [Independent(Normal(law.means[:, 0], law.stds[:, 0]), 1) for law in (one, other)]
    assert float(kl_to(one, other)) == pytest.approx(float(kl_divergence(*pair).mean()), rel=1e-12)
    assert float(w2_to(one, one)) == float(kl_to(one, one)) == 0.0


@pytest.mark.parametrize("components", [1, 3])
def test_log_prob_is_torchs(components) -> None:
    law = Network(components, 2)(states()).detach()
    u = law.draw(6).latents
    mixture = MixtureSameFamily(Categorical(logits=law.log_weights), Independent(Normal(law.means, law.stds), 1))
    correction = torch.log(1 - torch.tanh(u) ** 2 + 1e-6).sum(-1)
    np.testing.assert_allclose(law.log_prob(u), mixture.log_prob(u) - correction, atol=1e-12)
    if components == 1:
        squashed = TransformedDistribution(Normal(law.means[:, 0], law.stds[:, 0]), TanhTransform())
        np.testing.assert_allclose(law.log_prob(u), squashed.log_prob(torch.tanh(u)).sum(-1), atol=1e-4)


def test_a_mixtures_update_is_the_gradient_of_its_soft_value() -> None:
    """Transport and reaction together against finite differences of ∫ π (Q − τ log π) on a fine line."""
    network = Network(3, 1)
    at = states(4)
    line = torch.linspace(-9, 9, 6001, dtype=torch.float64)[:, None, None].expand(-1, 4, 1)
    spacing = 18 / 6000

    def soft_value():
        with torch.no_grad():
            log_prob = network(at).log_prob(line)
            density = (log_prob + torch.log(1 - torch.tanh(line) ** 2 + 1e-6).sum(-1)).exp()
            return float((density * (value(torch.tanh(line)) - TEMPERATURE * log_prob)).sum(0).mean() * spacing)

    law = network(at)
    draw = quadrature(law, 60)
    ours = -gradients(transport_loss(draw, velocity(value, law, draw.latents, TEMPERATURE)), network)
    start = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    rng = torch.Generator().manual_seed(0)
    for _ in range(4):
        along = torch.randn(start.shape, dtype=torch.float64, generator=rng)
        ends = []
        for h in (1e-4, -1e-4):
            torch.nn.utils.vector_to_parameters(start + h * along, network.parameters())
            ends.append(soft_value())
        assert float(ours @ along) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5)


def test_the_velocity_is_the_written_one() -> None:
    law = Network(2, 2)(states())
    u = law.draw(2).latents.detach()
    at = velocity(value, law, u, TEMPERATURE)
    h = 1e-6
    for i in range(2):
        step = h * torch.eye(2, dtype=torch.float64)[i]
        ends = [value(torch.tanh(x)) - TEMPERATURE * law.detach().log_prob(x) for x in (u + step, u - step)]
        np.testing.assert_allclose(at.field[..., i], (ends[0] - ends[1]) / (2 * h), atol=1e-6)
    cube = velocity(lambda a: 8 * a.sum(-1), law, u, 0.0, cube_root=True)
    np.testing.assert_allclose(cube.field, 2 * (1 - torch.tanh(u) ** 2), atol=1e-12)


def test_draws_have_the_laws_moments() -> None:
    torch.manual_seed(0)
    law = Network(3, 1)(states(2)).detach()
    draw = law.draw(60_000)
    weights = law.log_weights.exp()
    mean = (weights[..., None] * law.means).sum(1)[:, 0]
    second = (weights[..., None] * (law.means**2 + law.stds**2)).sum(1)[:, 0]
    np.testing.assert_allclose(draw.weights.sum(0), 1.0, atol=1e-12)
    np.testing.assert_allclose((draw.weights * draw.latents[..., 0]).sum(0), mean, atol=0.02)
    np.testing.assert_allclose((draw.weights * draw.latents[..., 0] ** 2).sum(0), second, atol=0.03)


def test_the_mode_is_the_densest_centre() -> None:
    law = LatentLaw(torch.tensor([[[0.0], [2.0], [2.1]]]), torch.full((1, 3, 1), 0.2), torch.tensor([[0.4, 0.3, 0.3]]).log())
    assert float(law.mode()) in (2.0, pytest.approx(2.1))
    assert math.isclose(float(law.log_weights.exp().sum()), 1.0, rel_tol=1e-6)


@pytest.mark.parametrize("components", [1, 3])
def test_samples_come_in_pairs_about_their_centre(components) -> None:
    means, stds = torch.randn(5, components, 2, dtype=torch.float64), torch.rand(5, components, 2, dtype=torch.float64) + 0.1
    law = LatentLaw(means, stds, torch.log_softmax(torch.randn(5, components, dtype=torch.float64), -1))
    latents = law.draw(4 * components).latents.reshape(4, components, 5, 2)
    torch.testing.assert_close(latents.mean(0), means.transpose(0, 1), atol=1e-12, rtol=0)
    many = law.draw(20_000 * components).latents.reshape(20_000, components, 5, 2)
    torch.testing.assert_close(many.std(0), stds.transpose(0, 1), atol=0, rtol=0.05)
    # An odd number: the last one goes without its partner.
    assert law.draw(3 * components).latents.shape == (3 * components, 5, 2)
