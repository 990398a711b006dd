"""The best that any model can do: the Bayes rule of generated data, whose law is known.

A law gives the posterior probability of each class at a point. Choosing the class with the highest one is the Bayes
rule: no rule has a lower expected error (L. Devroye, L. Györfi and G. Lugosi, *A Probabilistic Theory of Pattern
Recognition*, 1996, chapter 2), and no probabilities have a lower expected log loss (T. M. Cover and J. A. Thomas,
*Elements of Information Theory*, 2006, section 2.6).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.artifacts import Floats

# Less noise than this is taken as this much. On curves about one unit wide that differs from no noise only
# within rounding of the line halfway between two of them.
LEAST_NOISE = 1e-9

# Sizes of the quadratures; tests hold them to 1e-4.
REACH = 7  # standard deviations on either side: two in a million million lie beyond
LINE_POINTS = 4096  # along a line
PLANE_POINTS = (160, 240)  # distances and angles in a plane
NET_POINTS = 2**16  # in a cube of any dimension
ARC_NODES = 24  # over an arc


@dataclass(frozen=True, eq=False)
class Law(ABC):
    """How points and classes are distributed: classes by their shares of the rows, points by the generator's recipe."""

    priors: Floats  # (classes,): shares of the rows that were made

    def posterior(self, points: Floats) -> Floats:
        """Probability of each class at points in original units.

        Parameters
        ----------
        points
            Shape (rows, features).

        Returns
        -------
        numpy.ndarray
            Shape (rows, classes), in the order of class indices; each row sums to 1, however far from the data.
        """
        from scipy.special import softmax

        probabilities: Floats = softmax(self._log_densities(points) + np.log(self.priors), axis=1)
        return probabilities

    @property
    def bayes_error(self) -> float:
        """Expected share of points that the Bayes rule puts into the wrong class.

        A quadrature over the law, within 1e-4 of the truth; for circles, moons and spirals within 2e-5.
        """
        return self._ceilings[0]

    @property
    def bayes_log_loss(self) -> float:
        """Expected log loss of the posterior, in nats; as exact as `bayes_error`.

        That is the conditional entropy of the class, given the point.
        """
        return self._ceilings[1]

    @cached_property
    def _ceilings(self) -> tuple[float, float]:
        from scipy.special import entr

        error, log_loss = 0.0, 0.0
        for label, prior in enumerate(self.priors):
            points, weights = self._quadrature(label)
            posterior = self.posterior(points)
            # Summed by numpy: a product of BLAS has another last bit on another number of threads.
            error += prior * float((weights * (1 - posterior.max(axis=1))).sum())
            log_loss += prior * float((weights * entr(posterior).sum(axis=1)).sum())
        return error, log_loss

    @abstractmethod
    def _log_densities(self, points: Floats) -> Floats:
        """Log density of each class, shape (rows, classes), up to a term that the classes share."""

    @abstractmethod
    def _quadrature(self, label: int) -> tuple[Floats, Floats]:
        """Points of one class, shape (points, features), and their weights, shape (points,), that sum to 1.

        Of points that the law's symmetry makes alike, one may stand for all.
        """


@dataclass(frozen=True, eq=False)
class Circles(Law):
    """Circles about the origin with isotropic normal noise: `sklearn.datasets.make_circles`.

    Angles are taken as uniform, where the generator spaces them evenly. The distance from the origin then follows
    S. O. Rice's distribution (*Mathematical Analysis of Random Noise*, 1945, section 3.10).
    """

    radii: Floats  # (classes,)
    noise: float

    def _log_densities(self, points: Floats) -> Floats:
        from scipy.special import i0e

        distance = np.hypot(points[:, :1], points[:, 1:])
        offset = (distance - self.radii) / self.noise
        # i0e(k) is I₀(k) · exp(-k): it neither overflows nor vanishes.
        logs: Floats = np.log(i0e(distance * self.radii / self.noise**2)) - offset**2 / 2
        return logs

    def _quadrature(self, label: int) -> tuple[Floats, Floats]:
        distance = _around(self.radii[label], self.noise, LINE_POINTS)
        points = np.column_stack([distance, np.zeros_like(distance)])
        return points, _weights(self._log_densities(points)[:, label] + np.log(distance))


@dataclass(frozen=True, eq=False)
class Moons(Law):
    """Two half circles of radius 1 with isotropic normal noise: `sklearn.datasets.make_moons`.

    Class 0 is the upper half of the circle about the origin. Class 1 is the same turned by 180°, so that
    (x, y) on the one is (1 - x, 0.5 - y) on the other. Angles are taken as uniform, where the generator spaces them
    evenly.
    """

    noise: float

    def _log_densities(self, points: Floats) -> Floats:
        return np.column_stack([self._log_density(points), self._log_density(_turned(points))])

    def _log_density(self, points: Floats) -> Floats:
        """Log density of the upper half circle, by quadrature over the angle of the point without noise.

        In polar coordinates (distance ρ, angle φ) it is, up to a constant, -(ρ - 1)² / 2σ² plus the logarithm of
        ∫ exp(-κ (1 - cos(θ - φ))) dθ over θ from 0 to π, with κ = ρ / σ².
        """
        distance = np.hypot(points[:, 0], points[:, 1])
        angle = np.arctan2(points[:, 1], points[:, 0])
        logs: Floats = _log_half_turn(angle, distance / self.noise**2) - ((distance - 1) / self.noise) ** 2 / 2
        return logs

    def _quadrature(self, label: int) -> tuple[Floats, Floats]:
        distances, angles = PLANE_POINTS
        distance, angle = np.meshgrid(_around(1, self.noise, distances), _midpoints(-np.pi, np.pi, angles))
        points = np.column_stack([(distance * np.cos(angle)).ravel(), (distance * np.sin(angle)).ravel()])
        weights = _weights(self._log_density(points) + np.log(distance.ravel()))
        return (points if label == 0 else _turned(points)), weights


@dataclass(frozen=True, eq=False)
class Blobs(Law):
    """Isotropic normal distributions, one a class: `sklearn.datasets.make_blobs`."""

    centers: Floats  # (classes, features)
    noise: Floats  # (classes,): standard deviation

    def _log_densities(self, points: Floats) -> Floats:
        from scipy.spatial.distance import cdist

        offset = cdist(points, self.centers) / self.noise
        logs: Floats = -(offset**2) / 2 - self.centers.shape[1] * np.log(self.noise)
        return logs

    def _quadrature(self, label: int) -> tuple[Floats, Floats]:
        """Take I. M. Sobol's points of the unit cube, each in the middle of its cell, to normal noise."""
        from scipy.special import gammaincinv, ndtri
        from scipy.stats import qmc

        # The centers differ in fewer directions than there are classes. In all others only the length of the noise
        # matters, a chi-distributed number, and it can lie along any one of them.
        axes = np.linalg.svd(self.centers - self.centers.mean(axis=0), full_matrices=False)[2]
        cube = qmc.Sobol(len(axes), scramble=False).random(NET_POINTS) + 0.5 / NET_POINTS
        noise = ndtri(cube)
        classes, features = self.centers.shape
        if features > classes:
            noise[:, -1] = np.sqrt(2 * gammaincinv((features - classes + 1) / 2, cube[:, -1]))
        points = self.centers[label] + self.noise[label] * noise @ axes
        return points, np.full(NET_POINTS, 1 / NET_POINTS)


@dataclass(frozen=True, eq=False)
class Spirals(Law):
    """Arms with normal noise in the angle alone: Photofinish's `spirals`.

    At radius r, arm j has the angle 4 (j + r), measured from the y axis. The radius is taken as uniform, where the
    generator spaces it evenly. Beyond the radius 1, where the law has no points, the posterior is that of radius 1
    in the same direction.
    """

    noise: float  # radians

    def _log_densities(self, points: Floats) -> Floats:
        from scipy.special import logsumexp

        angle = np.arctan2(points[:, 0], points[:, 1])
        radius = np.minimum(np.hypot(points[:, 0], points[:, 1]), 1)
        offset = angle[:, None] - 4 * (np.arange(len(self.priors)) + radius[:, None])
        turns = int(np.ceil(REACH * self.noise / (2 * np.pi)))  # as far as the noise reaches round
        images = np.remainder(offset, 2 * np.pi)[:, :, None] + 2 * np.pi * np.arange(-turns, turns)
        logs: Floats = logsumexp(-((images / self.noise) ** 2) / 2, axis=2)
        return logs

    def _quadrature(self, label: int) -> tuple[Floats, Floats]:
        # Another radius turns all arms alike, so radius 1 stands for all.
        deviation = _midpoints(-REACH, REACH, LINE_POINTS)
        angle = 4 * (label + 1) + self.noise * deviation
        return np.column_stack([np.sin(angle), np.cos(angle)]), _weights(-(deviation**2) / 2)


def law_of(recipe: Mapping[str, Any]) -> Law | None:
    """Return the law behind a generated dataset, or None where it isn't known.

    Parameters
    ----------
    recipe
        A dataset's `recipe`: the generator's name, `make`, and its arguments. Those left out have the generator's
        defaults.
    """
    if recipe.get("make") == "circles":
        radii = np.array([1.0, recipe.get("factor", 0.8)])
        return Circles(_pair_priors(recipe), radii, _noise(recipe))
    if recipe.get("make") == "moons":
        return Moons(_pair_priors(recipe), _noise(recipe))
    if recipe.get("make") == "spirals":
        classes = recipe.get("n_classes", 3)
        # From ten radians on the angle is uniform to twenty digits; more would only mean more turns to add up.
        noise = min(max(recipe.get("noise", 0.2), LEAST_NOISE), 10.0)
        return Spirals(np.full(classes, 1 / classes), noise)
    if recipe.get("make") == "blobs":
        return _blobs(recipe)
    return None


def _noise(recipe: Mapping[str, Any]) -> float:
    return max(recipe.get("noise") or 0.0, LEAST_NOISE)


def _pair_priors(recipe: Mapping[str, Any]) -> Floats:
    rows = recipe.get("n_samples", 100)
    counts = np.array([rows // 2, rows - rows // 2] if isinstance(rows, int) else rows)
    priors: Floats = counts / counts.sum()
    return priors


def _blobs(recipe: Mapping[str, Any]) -> Blobs | None:
    """Make the data again: how many rows each class gets, and where its center is drawn, is the generator's affair."""
    from sklearn.datasets import make_blobs

    arguments = {key: value for key, value in recipe.items() if key != "make"}
    if arguments.get("random_state") is None and isinstance(arguments.get("centers"), int | None):
        return None  # the centers were drawn, and can't be drawn again
    if "center_box" in arguments:
        arguments["center_box"] = tuple(arguments["center_box"])  # which JSON made a list of
    _, target, centers = make_blobs(**arguments, return_centers=True)
    counts = np.bincount(target, minlength=len(centers))
    made = counts > 0  # a class without rows is no class of the dataset
    noise = np.broadcast_to(np.maximum(arguments.get("cluster_std", 1.0), LEAST_NOISE), counts.shape)
    return Blobs(counts[made] / counts.sum(), centers[made], noise[made])


def _midpoints(low: float, high: float, count: int) -> Floats:
    points: Floats = low + (high - low) * (np.arange(count) + 0.5) / count
    return points


def _around(radius: float, noise: float, count: int) -> Floats:
    """Distances from a circle's center that points near the circle may have."""
    return _midpoints(max(radius - REACH * noise, 0), radius + REACH * noise, count)


def _weights(log_densities: Floats) -> Floats:
    from scipy.special import softmax

    weights: Floats = softmax(log_densities)
    return weights


def _turned(points: Floats) -> Floats:
    turned: Floats = np.array([1.0, 0.5]) - points
    return turned


def _log_half_turn(angle: Floats, concentration: Floats) -> Floats:
    """Logarithm of ∫ exp(-κ (1 - cos(θ - φ))) dθ over θ from 0 to π, for angles φ from -π to π and concentrations κ.

    The half turn is two arcs, from φ to either end, or, where φ lies outside, from either end to the point opposite φ.
    On both, the distance from φ grows. Relative accuracy 1e-8.
    """
    inside = angle >= 0
    distances = np.abs(angle), np.pi - np.abs(angle)  # of the ends from φ, on the circle
    nearest = np.where(inside, 0.0, np.minimum(*distances))
    kappa = np.maximum(concentration, 1e-300)
    total = np.zeros_like(kappa)
    for distance in distances:
        total += _arc(nearest, np.where(inside, 0.0, distance), np.where(inside, distance, np.pi), kappa)
    # An arc can be lost to rounding when κ is huge; then the term behind is what decides.
    logs: Floats = np.log(np.maximum(total, 1e-300)) - 2 * kappa * np.sin(nearest / 2) ** 2
    return logs


def _arc(nearest: Floats, start: Floats, end: Floats, kappa: Floats) -> Floats:
    """∫ exp(-κ (cos(nearest) - cos(t))) dt over t from `start` to `end`, all from 0 to π, by Gauss–Legendre.

    The integrand falls; where it has fallen by 40 nats since `start` the integral ends.
    """
    reach = 2 * np.arcsin(np.sqrt(np.minimum(np.sin(start / 2) ** 2 + 20 / kappa, 1)))
    half = np.maximum(np.minimum(end, reach) - start, 0) / 2
    total = np.zeros_like(kappa)
    for node, weight in zip(*np.polynomial.legendre.leggauss(ARC_NODES), strict=True):
        offset = start + half * (1 + node)
        fall = 2 * kappa * np.sin((offset + nearest) / 2) * np.sin((offset - nearest) / 2)
        total += weight * np.exp(-fall)
    integral: Floats = total * half
    return integral
