"""The transfers as their papers write them: plain float64 NumPy, all rows at once, nothing of unicorn_hf."""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def n(rows: Array) -> Array:
    return rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))


def none(y: Array, x: Array) -> Array:
    return y


def mean_shift(y: Array, x: Array) -> Array:
    return n(y - y.mean(0))


def mean_shift_raw(y: Array, x: Array) -> Array:
    return y - y.mean(0)


def mean_shift_to_image(y: Array, x: Array) -> Array:
    return n(y - y.mean(0) + x.mean(0))


def per_dimension(y: Array, x: Array) -> Array:
    return n((y - y.mean(0)) * x.std(0) / y.std(0) + x.mean(0))


def realign(y: Array, x: Array) -> Array:
    t_y = ((y - y.mean(0)) ** 2).sum(axis=1).mean()
    t_x = ((x - x.mean(0)) ** 2).sum(axis=1).mean()
    e = n(x.mean(0) + np.sqrt(t_x / t_y) * (y - y.mean(0)))
    return n(e - e.mean(0) + x.mean(0))


def gaussian_ot(y: Array, x: Array) -> Array:
    s, r = shrunk(np.cov(y.T, bias=True)), shrunk(np.cov(x.T, bias=True))
    root = symmetric(s, np.sqrt)
    inverse = symmetric(s, lambda values: 1 / np.sqrt(values))
    return n((y - y.mean(0)) @ (inverse @ symmetric(root @ r @ root, np.sqrt) @ inverse))


def barycentric(y: Array, x: Array) -> Array:
    centred = x.astype(np.float16) - x.mean(0)  # As kept.
    near = np.exp(n(y - y.mean(0)) @ n(centred).T / 0.02)
    return n(near / near.sum(axis=1, keepdims=True) @ centred)


def aniso_align(y: Array, y_mean: Array, x_mean: Array, fitted: dict[str, Array]) -> Array:
    """With fitted weights; `y` are texts."""
    w = {name: array.astype(np.float64) for name, array in fitted.items()}
    m, x_turned = len(w["text_radii"]), x_mean @ w["basis"]
    turned = (y - y_mean) @ w["basis"] + x_turned
    a, b = turned[:, 0 : 2 * m : 2], turned[:, 1 : 2 * m : 2]
    theta, rho = np.arctan2(b, a), np.sqrt(a**2 + b**2 + 1e-12)
    rho = np.stack([np.interp(rho[:, k], w["text_radii"][k], w["image_radii"][k]) for k in range(m)], axis=1)
    v = x_turned[2 * m :] + w["scale"] * (turned[:, 2 * m :] - x_turned[2 * m :])
    h = np.concatenate([np.sin(theta), np.cos(theta), np.log(rho), v], axis=1)
    for layer in "12":
        h = h @ w[f"weights_{layer}"] + w[f"bias_{layer}"]
        h = h / (1 + np.exp(-h))
    d = np.tanh(h @ w["weights_3"] + w["bias_3"])
    theta, rho = theta + w["bounds"][0] * d[:, :m], rho * np.exp(w["bounds"][1] * d[:, m:])
    turned[:, 0 : 2 * m : 2], turned[:, 1 : 2 * m : 2], turned[:, 2 * m :] = rho * np.cos(theta), rho * np.sin(theta), v
    return n(n(turned @ w["basis"].T) - w["aligned_mean"] + x_mean)


def shrunk(covariance: Array) -> Array:
    return 0.8 * covariance + 0.2 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def symmetric(matrix: Array, function: Callable[[Array], Array]) -> Array:
    """The function of a symmetric matrix."""
    values, axes = np.linalg.eigh(matrix)
    return axes @ np.diag(function(values)) @ axes.T


def c3(y: Array, ids: list[str], seed: int) -> Array:
    return n(n(y) - y.mean(0) + np.sqrt(0.016) * np.stack([noise(row_id, seed, y.shape[1]) for row_id in ids]))


def noise(row_id: str, seed: int, dim: int) -> Array:
    """Standard normal numbers of a Philox generator, keyed by a hash of the seed and the row's id."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (b"c3", str(seed).encode(), row_id.encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    key = int.from_bytes(digest.digest(), "big") >> 1
    generator = np.random.Generator(np.random.Philox(key=key))
    return generator.standard_normal(dim, dtype=np.float32).astype(np.float64)


WITHOUT_NOISE = (
    none,
    mean_shift,
    mean_shift_raw,
    mean_shift_to_image,
    per_dimension,
    realign,
    gaussian_ot,
    barycentric,
)
