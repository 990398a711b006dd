"""Groups of rows as cases: rows of one customer, patient or machine are not independent evidence.

A metric varies over samples of groups as the groups' sums of contributions do. Each group gets one contribution

    c_g = mean + groups / rows · sum over its rows of (c_i - mean),

the mean of which is the mean over rows, and the variance of which, divided by the number of groups, is the
cluster-robust variance of a mean (a ratio of sums over groups, linearised; Cameron & Miller 2015). Pseudo-values of ROC
AUC summed so give the variance of Obuchowski (1997). From there on a group is to the interval what a row was.
"""

from __future__ import annotations

import numpy as np

from pipeline.artifacts import Integers
from pipeline.comparison.contributions import Contributions

_LEAST_FREEDOM = 0.5  # where one group is as good as all, and an interval tells as good as nothing


def by_group(part: Contributions, groups: Integers) -> Contributions:
    """Turn contributions of rows into contributions of groups.

    What one group gone wrong can change lies between a row's effect and that of all its rows. It is a row's effect
    times the design effect (Kish 1965), the variance by groups over that by rows; to which one group of mean size, gone
    wrong altogether, is added, since near-perfect models hardly tell how their errors cluster.

    Parameters
    ----------
    part:
        Contributions (runs, rows) of one metric.
    groups:
        The group of each row, (rows,): any integers.

    Returns
    -------
    Contributions
        With contributions (runs, groups), and their effect.
    """
    codes, n_groups = _codes(groups)
    size = len(codes) / n_groups
    means = part.rows.mean(axis=1, keepdims=True)
    residuals = part.rows - means
    sums = np.stack([np.bincount(codes, weights=one) for one in residuals])
    wrong = part.row_effect
    clustered = (sums**2).sum() / len(sums) + (size * wrong) ** 2
    independent = (residuals**2).sum() / len(sums) + size * wrong**2
    design_effect = max(clustered / independent, 1.0) if wrong > 0 else 1.0
    return Contributions(part.values, means + sums / size, wrong * design_effect / size)


def group_freedom(groups: Integers) -> float:
    """Degrees of freedom of a variance over groups: their effective number (Kish 1965), less 1.

    That is (sum of sizes)² / sum of squared sizes, the number of groups where all are of one size. A few large groups
    among small ones decide such a variance, which then has far fewer degrees of freedom than groups less 1 (Carter,
    Schnepel & Steigerwald 2017); benchmarks/verdict_calibration.py shows that with these intervals stay honest.
    """
    codes, _ = _codes(groups)
    sizes = np.bincount(codes).astype(np.float64)
    return max(float(sizes.sum() ** 2 / (sizes**2).sum()) - 1.0, _LEAST_FREEDOM)


def _codes(groups: Integers) -> tuple[Integers, int]:
    """Number the groups that there are from 0, in ascending order."""
    present, codes = np.unique(groups, return_inverse=True)
    return codes.astype(np.int64), len(present)
