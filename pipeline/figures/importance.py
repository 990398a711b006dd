"""Importance: how much worse each model predicts when a feature is shuffled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.artifacts import Floats
from pipeline.figures.canvas import (
    TICK,
    TITLE,
    absent_note,
    balanced,
    caption,
    panels,
    plain,
    present,
    text_width,
    tidy,
    title,
)
from pipeline.figures.palette import INK, QUIET, model_colours

MOST_FEATURES = 30  # drawn, those that matter most; more of them would be hardly told apart from nothing
_ROW, _WIDEST = 0.23, 12.0  # inches of a feature's row, and of all panels beside one another


def shared_importance(found: Mapping[str, Floats]) -> Floats:
    """How much each feature matters to all models together: 1 where it matters most to every one of them, (features,).

    Parameters
    ----------
    found:
        By model: how much it loses when a feature is shuffled, (features, shuffles). A model counts no more for losing
        more in all; one that no feature matters to has no say.
    """
    means = np.stack([losses.mean(axis=1) for losses in found.values()]).clip(min=0)
    largest = means.max(axis=1, keepdims=True)
    shared: Floats = np.divide(means, largest, out=np.zeros_like(means), where=largest > 0).mean(axis=0)
    return shared


def importance_frame(found: Mapping[str, Floats], names: Sequence[str]) -> pd.DataFrame:
    """List every feature under every model, what matters most to all of them first.

    Returns
    -------
    pandas.DataFrame
        feature (its name), model, importance (mean over shuffles of what is lost), deviation (standard deviation over
        them).
    """
    order = np.argsort(-shared_importance(found), kind="stable")
    return pd.DataFrame(
        [
            (names[place], model, losses[place].mean(), losses[place].std())
            for place in order
            for model, losses in found.items()
        ],
        columns=["feature", "model", "importance", "deviation"],
    )


def draw_importance(frame: pd.DataFrame, models: Sequence[str], *, measure: str, part: str) -> Figure:
    """Draw a panel for each model, a bar for each feature, the features in one order; each panel has its own scale.

    Parameters
    ----------
    frame:
        From `importance_frame`; of many features the first are drawn.
    models:
        All models in their fixed order; those without rows are left out.
    measure:
        What is lost: ``"log loss"``.
    part:
        Rows that are predicted.

    Raises
    ------
    ValueError
        When no model has rows.
    """
    shown, colours = present(frame, models), model_colours(models)
    features = list(range(min(MOST_FEATURES, int((frame["model"] == shown[0]).sum()))))
    own = {model: frame[frame["model"] == model].iloc[features] for model in shown}  # names may come twice
    names = [plain(name, 2.0, size=TICK) for name in own[shown[0]]["feature"]]
    room = max(text_width(name, TICK) for name in names)
    width = float(np.clip((_WIDEST - room) / len(shown), 2.3, 3.2))
    across = balanced(len(shown), max(1, int((_WIDEST - room) / width)))
    figure, axes = panels(len(shown), size=(width, _ROW * len(names) + 0.9), across=across, margin=(room + 0.2, 0.6))
    for place, (panel, model) in enumerate(zip(axes, shown, strict=True)):
        _bars(panel, own[model], colours[model])
        panel.set_yticks(features, names if place % across == 0 else [""] * len(names))
        tidy(panel, x=f"{measure} gained")
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.locator_params(axis="x", nbins=4)
        title(panel, plain(model, width - 0.4, size=TITLE, bold=True))
    caption(figure, *_caption(frame, shown[0], part), absent_note(models, shown))
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    places = np.arange(len(rows))
    axes.barh(
        places,
        rows["importance"],
        xerr=rows["deviation"],
        height=0.66,
        color=colour,
        error_kw={"ecolor": INK, "elinewidth": 1.0},
    )
    axes.axvline(0, color=QUIET, linewidth=1)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if not rows["importance"].any():
        axes.set_xlim(0, 1)


def _caption(frame: pd.DataFrame, model: str, part: str) -> tuple[str, ...]:
    count = int((frame["model"] == model).sum())
    return (
        f"on {part} rows",
        f"the {MOST_FEATURES} of {count} features that matter most" if count > MOST_FEATURES else "",
        "each panel has its own scale",
    )
