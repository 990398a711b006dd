from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import entr
from sklearn import datasets
from sklearn.neighbors import KNeighborsClassifier

from pipeline.artifacts import Floats, Integers
from pipeline.comparison import ceilings
from pipeline.comparison.ceilings import Blobs, Law, law_of
from pipeline.stages.generate import spirals
from tests.making import dataset

RECIPES: list[dict[str, Any]] = [
    {"make": "circles", "noise": 3e-5, "factor": 0.9999},
    {"make": "circles", "noise": 0.15, "factor": 0.5, "n_samples": [300, 100]},
    {"make": "circles", "noise": 0.4, "factor": 0.1},
    {"make": "moons", "noise": 0.1},
    {"make": "moons", "noise": 0.3, "n_samples": [100, 300]},
    {"make": "moons", "noise": 1.0},
    {"make": "spirals", "noise": 0.5},
    {"make": "spirals", "noise": 0.3, "n_classes": 7},
    {"make": "spirals", "noise": 2.0, "n_classes": 2},
    {"make": "blobs", "centers": 4, "cluster_std": 3.0, "random_state": 42, "n_samples": 1000},
    {"make": "blobs", "centers": 3, "n_features": 9, "cluster_std": [4.0, 6.0, 8.0], "random_state": 1},
    {"make": "blobs", "centers": 10, "n_features": 10, "cluster_std": 6.0, "random_state": 42},
    {"make": "blobs", "n_samples": [50, 100, 250], "cluster_std": 5.0, "random_state": 42},
]
WITHOUT_NOISE = [{"make": "circles"}, {"make": "moons", "noise": 0}, {"make": "spirals", "noise": 0.0}]


def known(recipe: dict[str, Any]) -> Law:
    law = law_of(recipe)
    assert law is not None
    return law


def fresh(recipe: dict[str, Any], rows: int, random_state: int) -> tuple[Floats, Integers]:
    """Other rows of the same law, from the generator itself."""
    law = known(recipe)
    arguments = {key: value for key, value in recipe.items() if key != "make"}
    arguments["random_state"] = random_state
    arguments["n_samples"] = rows
    if isinstance(recipe.get("n_samples"), list):
        arguments["n_samples"] = tuple(round(rows * share) for share in law.priors)
    if isinstance(law, Blobs):
        arguments["centers"] = law.centers
    generator = spirals if recipe["make"] == "spirals" else getattr(datasets, f"make_{recipe['make']}")
    features, target = generator(**arguments)
    return features, target


def described(recipe: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in recipe.items())


@dataclass(frozen=True, eq=False)
class World:
    """A recipe, its law, and 200 000 rows of the real generator."""

    recipe: dict[str, Any]
    law: Law
    target: Integers
    posterior: Floats


@pytest.fixture(scope="module", params=RECIPES, ids=described)
def world(request: pytest.FixtureRequest) -> World:
    law = known(request.param)
    features, target = fresh(request.param, 200_000, random_state=5)
    return World(request.param, law, target, law.posterior(features))


def test_ceilings_are_what_the_posterior_reaches(world: World) -> None:
    """On many rows the Bayes rule errs and the posterior loses as often as is said."""
    law, target, posterior = world.law, world.target, world.posterior
    wrong = posterior.argmax(axis=1) != target
    losses = -np.log(posterior[np.arange(len(target)), target])
    for values, expected in ((wrong, law.bayes_error), (losses, law.bayes_log_loss)):
        assert expected == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(len(values)))


def test_ceilings_are_as_exact_as_they_say(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quadratures several times as fine agree within the accuracy that is stated."""
    stated = world.law.bayes_error, world.law.bayes_log_loss
    for name, size in (("LINE_POINTS", 40_000), ("PLANE_POINTS", (300, 450)), ("NET_POINTS", 2**18)):
        monkeypatch.setattr(ceilings, name, size)
    finer = known(world.recipe)
    accuracy = 1e-4 if world.recipe["make"] == "blobs" else 2e-5
    assert stated == pytest.approx((finer.bayes_error, finer.bayes_log_loss), abs=accuracy)


def test_posterior_is_calibrated(world: World) -> None:
    """Of the real generator's rows to which a class gets probability p, the share p is of this class, for every p."""
    for label, probability in enumerate(world.posterior.T):
        for low in np.arange(0, 1, 0.1):
            chosen = (probability >= low) & (probability < low + 0.1)
            variance = (probability * (1 - probability))[chosen].sum()
            excess = (world.target == label)[chosen].sum() - probability[chosen].sum()
            assert abs(excess) < 4.5 * np.sqrt(variance) + 1


@pytest.mark.parametrize("recipe", [RECIPES[1], RECIPES[4], RECIPES[6], RECIPES[9]], ids=described)
def test_no_other_rule_is_better(recipe: dict[str, Any]) -> None:
    """Nearest neighbours, of many rows, come near to the Bayes error and not below it."""
    rule = KNeighborsClassifier(100).fit(*fresh(recipe, 50_000, random_state=1))
    features, target = fresh(recipe, 20_000, random_state=2)
    error = (rule.predict(features) != target).mean()
    ceiling = known(recipe).bayes_error
    noise = 3 * np.sqrt(ceiling * (1 - ceiling) / len(target))
    assert ceiling - noise < error < ceiling + noise + 0.01


@pytest.mark.parametrize("n_features", [1, 2, 3, 20])
@pytest.mark.parametrize("counts", [[200, 200], [100, 900]])
def test_two_blobs_have_the_error_of_the_closed_form(n_features: int, counts: list[int]) -> None:
    """Two blobs of one width err as normal distributions on a line do, in any number of dimensions."""
    centers = np.random.default_rng(3).normal(size=(2, n_features))
    distance, noise = np.linalg.norm(centers[1] - centers[0]), 0.6
    law = known({"make": "blobs", "centers": centers.tolist(), "cluster_std": noise, "n_samples": counts})
    low, high = np.array(counts) / sum(counts)
    threshold = distance / 2 + noise**2 / distance * np.log(low / high)
    error = low * stats.norm.sf(threshold / noise) + high * stats.norm.cdf((threshold - distance) / noise)
    assert law.bayes_error == pytest.approx(error, abs=2e-5)

    def entropy(place: float) -> float:
        joint = np.array([low * stats.norm.pdf(place / noise), high * stats.norm.pdf((place - distance) / noise)])
        return float(joint.sum() / noise * entr(joint / joint.sum()).sum())

    log_loss, _ = integrate.quad(entropy, -5 * noise, distance + 5 * noise)
    assert law.bayes_log_loss == pytest.approx(log_loss, abs=2e-5)


@pytest.mark.parametrize("n_features", [1, 2, 3, 20])
def test_blobs_within_blobs_have_the_error_of_the_closed_form(n_features: int) -> None:
    """Blobs about one point, of different widths, are told apart by the distance from it, a chi distribution."""
    widths = np.array([1.0, 1.5, 2.25])
    centers = [[3.0] * n_features] * 3
    law = known({"make": "blobs", "centers": centers, "cluster_std": widths.tolist(), "n_samples": 300})
    narrow, wide = widths[:-1], widths[1:]
    squares = 2 * n_features * np.log(wide / narrow) / (narrow**-2 - wide**-2)  # where both are as likely
    chi_square = stats.chi2(n_features)
    error = (chi_square.sf(squares / narrow**2) + chi_square.cdf(squares / wide**2)).sum() / 3
    assert law.bayes_error == pytest.approx(error, abs=2e-5)


def arcs(make: str) -> tuple[Floats, Floats]:
    """The generator's curves without noise, in many points."""
    count = 20_001
    generator = spirals if make == "spirals" else getattr(datasets, f"make_{make}")
    arguments = {"noise": 0.0} if make == "spirals" else {"shuffle": False}
    features, target = generator(n_samples=(3 if make == "spirals" else 2) * count, **arguments)
    return tuple(features[target == label] for label in np.unique(target))


@pytest.mark.parametrize("make", ["circles", "moons"])
@pytest.mark.parametrize("noise", [0.1, 0.3, 2.0])
def test_posterior_of_curves_is_the_mixture_of_their_points(make: str, noise: float) -> None:
    """The density of a noisy curve is the mean of normal densities about its points, near it and away from it."""
    points = np.random.default_rng(0).uniform(-2, 3, size=(40, 2))
    log_densities = []
    for curve in arcs(make):
        squares = ((points[:, None] - curve) ** 2).sum(axis=2)
        nearest = squares.min(axis=1)
        density = np.exp(-(squares - nearest[:, None]) / (2 * noise**2))
        mean = density.mean(axis=1) if make == "circles" else integrate.simpson(density, dx=1 / (len(curve) - 1))
        log_densities.append(np.log(mean) - nearest / (2 * noise**2))
    expected = 1 / (1 + np.exp(np.clip(log_densities[0] - log_densities[1], -700, 700)))
    posterior = known({"make": make, "noise": noise}).posterior(points)
    np.testing.assert_allclose(posterior[:, 1], expected, rtol=1e-6, atol=1e-300)


@pytest.mark.parametrize("noise", [0.2, 1.0, 4.0])
def test_posterior_of_spirals_is_that_of_wrapped_normals(noise: float) -> None:
    """The density round a turn has the Fourier series of the wrapped normal distribution."""
    points = np.random.default_rng(0).uniform(-0.7, 0.7, size=(50, 2))
    radius, angle = np.hypot(*points.T), np.arctan2(points[:, 0], points[:, 1])
    order = np.arange(1, 60)
    coefficients = np.exp(-((order * noise) ** 2) / 2)
    offsets = angle[:, None] - 4 * (radius[:, None] + np.arange(3))
    densities = 1 + 2 * (coefficients * np.cos(order * offsets[:, :, None])).sum(axis=2)
    posterior = known({"make": "spirals", "noise": noise}).posterior(points)
    np.testing.assert_allclose(posterior, densities / densities.sum(axis=1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize("recipe", WITHOUT_NOISE, ids=described)
def test_curves_without_noise_belong_to_the_nearest(recipe: dict[str, Any]) -> None:
    """Without noise nothing is lost, and a point's class is that of the nearest curve."""
    law = known(recipe)
    assert law.bayes_error == law.bayes_log_loss == 0
    made = dataset(**{**recipe, "n_samples": 600})
    away = np.hypot(*made.features.T) > 0  # at the origin all spirals meet
    np.testing.assert_array_equal(law.posterior(made.features).argmax(axis=1)[away], made.target[away])
    if recipe["make"] != "spirals":
        points = np.random.default_rng(0).uniform(-2, 3, size=(200, 2))
        squares = np.column_stack(
            [((points[:, None] - curve) ** 2).sum(axis=2).min(axis=1) for curve in arcs(recipe["make"])]
        )
        np.testing.assert_array_equal(law.posterior(points), np.eye(2)[squares.argmin(axis=1)])


EXTREMES: list[dict[str, Any]] = [{"make": "blobs", "cluster_std": 0.0}, {"make": "spirals", "noise": 1e15}]


@pytest.mark.parametrize("recipe", [*RECIPES, *WITHOUT_NOISE, *EXTREMES], ids=described)
def test_posterior_is_finite_everywhere(recipe: dict[str, Any]) -> None:
    """At the center, on the axes and a million units away, probabilities are finite and sum to one."""
    law = known({"random_state": 42, **recipe})
    directions = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-3, 2]])
    points = np.concatenate([scale * directions for scale in (0, 1e-200, 1e-9, 0.5, 1, 30, 1e6)])
    points = np.resize(points, (len(points), law.centers.shape[1] if isinstance(law, Blobs) else 2))
    posterior = law.posterior(points)
    assert posterior.shape == (len(points), len(law.priors))
    np.testing.assert_allclose(posterior.sum(axis=1), 1)


def test_spirals_end_at_radius_one() -> None:
    """Beyond the arms' ends the posterior is that at their ends, in the same direction."""
    points = np.random.default_rng(0).normal(size=(20, 2))
    ends = points / np.hypot(*points.T)[:, None]
    law = known({"make": "spirals", "noise": 0.4})
    np.testing.assert_allclose(law.posterior(7 * ends), law.posterior(ends), atol=1e-12)


@pytest.mark.parametrize(
    "keys",
    [
        {"make": "circles", "noise": 0.02, "n_samples": 25},
        {"make": "moons", "noise": 0.05, "n_samples": [31, 50]},
        {"make": "spirals"},
        {"make": "spirals", "noise": 0.1, "n_samples": 400, "n_classes": 4},
        {"make": "blobs", "n_samples": 301, "centers": 5, "cluster_std": 0.2, "center_box": [-3.0, 9.0]},
        {"make": "blobs", "n_samples": [50, 0, 70, 1, 0], "centers": [[0, 0], [1, 1], [4, 4], [9, 9], [2, 2]]},
    ],
    ids=described,
)
def test_classes_are_those_of_the_dataset(keys: dict[str, Any]) -> None:
    """Columns have the order of the dataset's class indices, priors are its shares, and its recipe is all it takes."""
    made = dataset(**keys)
    law = known(dict(made.recipe))
    np.testing.assert_allclose(law.priors, np.bincount(made.target) / len(made.target))
    posterior = law.posterior(made.features)
    assert posterior[np.arange(len(made.target)), made.target].mean() > 0.98


@pytest.mark.parametrize("make", ["circles", "moons", "blobs"])
def test_more_rows_of_a_class_move_the_boundary(make: str) -> None:
    """The odds of a class grow with its rows, everywhere by the same factor."""
    arguments = {"make": make, "centers": [[0, 0], [1, 1]]} if make == "blobs" else {"make": make, "noise": 0.4}
    points = np.random.default_rng(0).normal(size=(20, 2))
    even, uneven = (known({**arguments, "n_samples": counts}).posterior(points) for counts in ([100, 100], [900, 100]))
    np.testing.assert_allclose(uneven[:, 0] / uneven[:, 1], 9 * even[:, 0] / even[:, 1])


@pytest.mark.parametrize(
    "recipe",
    [{}, {"make": "classification", "random_state": 42}, {"make": "line"}, {"make": "blobs", "random_state": None}],
    ids=described,
)
def test_unknown_laws_are_said_to_be_unknown(recipe: dict[str, Any]) -> None:
    """Other data have no law that we know, nor have blobs whose centers were drawn without a random state."""
    assert law_of(recipe) is None
