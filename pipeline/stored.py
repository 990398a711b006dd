"""Work on what the tracking store has already: reports made again, comparisons, promotions, predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import Refused
from pipeline.execution import map_tasks
from pipeline.experiment import check_name
from pipeline.runner import write_report
from pipeline.walk import Listener, Options, Walk, drawers_that_pay

if TYPE_CHECKING:
    from pipeline.comparison.outcome import Outcome
    from pipeline.stages.promote import Contender, Ruling
    from pipeline.tracking.registry import Champion


def rebuild_report(run_id: str, options: Options, listener: Listener) -> Path:
    """Make a finished comparison's report again, from the tracking store alone."""
    from pipeline.tracking.reader import read_comparison

    return write_report(read_comparison(run_id), Walk(options, listener))


@dataclass(frozen=True, eq=False)
class Compared:
    """What comparing stored runs leaves to be looked at."""

    outcome: Outcome | None  # None where nothing could be compared
    notes: tuple[str, ...]
    folder: Path


def compare(run_ids: Sequence[str], reports: Path) -> Compared:
    """Compare model runs that are in the store already, those of several comparisons too; nothing is trained.

    Raises
    ------
    BadInput
        When the runs aren't there or can't be compared; nothing was written then.
    """
    from pipeline.stages.compare import write
    from pipeline.tracking.compared import read_compared
    from pipeline.tracking.looks import looks_with
    from pipeline.tracking.store import connect
    from pipeline.tracking.writer import write_compare

    source = read_compared(run_ids)
    looks = looks_with(connect(), source.rows, source.run_ids)
    folder = write(source, looks, reports / source.name)
    write_compare(source.run_ids, source.rows, looks, folder)
    return Compared(source.outcome, tuple(source.notes(looks)), folder)


@dataclass(frozen=True)
class Promoted:
    """What has come of a promotion."""

    name: str  # in the model registry
    version: str
    sentence: str
    notes: tuple[str, ...]
    address: str  # models:/…
    serve: str  # command line


def promote(run_id: str, name: str | None) -> Promoted:
    """Make a model run's model the champion in the model registry, if it isn't worse than the present one.

    Parameters
    ----------
    run_id:
        A model run's, or the beginning of it.
    name:
        In the registry; None: `<experiment>-<dataset>`.

    Raises
    ------
    BadInput
        When the run or the name can't be used.
    Refused
        When the present champion may be better; nothing was registered then.
    """
    if name is not None:
        check_name(name, "--as")
    from pipeline.stages.promote import first
    from pipeline.tracking import registry

    candidate = registry.find_candidate(run_id)
    name = name or f"{candidate.experiment}-{candidate.dataset}"
    registry.check_length(name)
    champion = registry.find_champion(name)
    told = partial(Promoted, name, address=registry.address(name), serve=registry.serve_command(name))
    if champion and champion.run_id == candidate.run_id:
        return told(champion.version, f"{candidate.name} is the champion already; nothing was changed.", ())
    ruling, notes = (first(candidate), ()) if champion is None else _challenge(candidate, champion, name)
    return told(registry.register(candidate, name, ruling, champion), ruling.sentence, notes)


def _challenge(candidate: Contender, champion: Champion, name: str) -> tuple[Ruling, tuple[str, ...]]:
    """Hold a model against the champion, which is a look at their test rows as `compare` is one."""
    from pipeline.stages.compare import verdicts_json
    from pipeline.stages.promote import rule
    from pipeline.tracking import registry
    from pipeline.tracking.looks import looks_with
    from pipeline.tracking.store import connect
    from pipeline.tracking.writer import write_compare

    try:
        source, present = registry.read_challenge(candidate, champion)
        ruling = rule(source, candidate, present)
        looks = looks_with(connect(), source.rows, source.run_ids)
        with tempfile.TemporaryDirectory(prefix="photofinish-") as folder:
            (Path(folder) / "verdicts.json").write_text(verdicts_json(source, looks), encoding="utf-8")
            write_compare(source.run_ids, source.rows, looks, Path(folder))
        if not ruling.promoted:
            raise Refused(ruling.sentence)
    except Refused as error:
        overrule = registry.by_hand(candidate, name)
        raise Refused(
            f"not promoted: {str(error).rstrip('.')}. To make it champion all the same: {overrule}"
        ) from error
    return ruling, tuple(source.notes(looks))


def predict(uri: str, table: Path, out: Path | None, advance: Callable[[int], None]) -> int:
    """Predict a table by a model of the store, block by block; returns how many rows there were.

    `advance` is told of each block's rows.

    Raises
    ------
    BadInput
        When there is no such model, or the table isn't what the model takes; no file was written then.
    """
    from pipeline.stages.predict import check_destination, write_predictions
    from pipeline.tracking.predictor import open_predictor

    check_destination(out, table)
    with open_predictor(uri) as predictor:
        return write_predictions(predictor.predictions(table), out, advance)


def put_side_by_side(run_ids: Sequence[str], options: Options, listener: Listener) -> Compared:
    """Compare two comparisons, as far as they can be, and make a page that shows them side by side.

    Raises
    ------
    BadInput
        When the runs aren't two finished comparisons; nothing was written then.
    """
    from pipeline.stages.side_by_side import side_by_side
    from pipeline.tracking.compared import read_side_by_side
    from pipeline.tracking.looks import looks_with
    from pipeline.tracking.store import connect
    from pipeline.tracking.writer import write_compare

    source = read_side_by_side(run_ids)
    compared = source.compared
    looks = looks_with(connect(), compared.rows, compared.run_ids) if compared else {}
    pictures = sum(len(side) for side in source.pictures)
    with Walk(options, listener).stage("report", pictures) as advance:
        folder = side_by_side(
            source,
            looks,
            options.reports / source.name,
            svg=options.svg,
            spread=partial(map_tasks, jobs=options.drawers or drawers_that_pay(pictures)),
            advance=advance,
        )
    if compared:
        write_compare(compared.run_ids, compared.rows, looks, folder)
    return Compared(compared.outcome if compared else None, tuple(source.notes(looks)), folder)
