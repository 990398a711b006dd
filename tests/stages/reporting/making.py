"""A report's input without a tracking store."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.artifacts import Dataset
from pipeline.experiment_file import check
from pipeline.stages.checks import check_data
from pipeline.stages.evaluate import evaluate
from pipeline.stages.ledger import history_frame, ledger_frame, run_key, runs_frame
from pipeline.stages.reporting.source import ReportInput, Representative, median_runs
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import settle

NETWORKS = {"linear": {"hidden_units": []}, "relu": {"hidden_units": [6]}}


def report_source(
    *tables: Dataset, models: Mapping[str, object] = NETWORKS, seeds: int = 2, epochs: int = 40
) -> ReportInput:
    """Train networks on some datasets, and gather what a report is made from, as the runner does."""
    plain = {"name": "tables", "question": "", "models": models}
    training = {"optimizer": "Adam", "lr": 0.05, "epochs": epochs}
    plain["datasets"] = {table.name: {"make": "moons"} for table in tables}  # stand-ins
    experiment = check({**plain, "training": training, "seeds": seeds}, "tables.yaml")
    splits = {table.name: split(table, SplitSpec()) for table in tables}
    trained = [
        one
        for made in splits.values()
        for model, spec in experiment.models.items()
        for one in train(TrainTask(made, settle(made, model, spec.as_given()), experiment.seeds, "cpu", None))  # type: ignore[union-attr,arg-type]
    ]
    evaluated = [evaluate(splits[one.dataset], one) for one in trained]
    run_ids = {run_key(one): f"{one.dataset}-{one.model}-{one.seed}" for one in trained}
    runs = runs_frame(evaluated, run_ids, {})
    metrics = experiment.first_metrics({name: made.dataset.task for name, made in splits.items()})
    by_key = {run_key(one): one for one in trained}
    return ReportInput(
        run_id="parent",
        name="tables",
        question="",
        models=tuple(experiment.models),
        metrics=metrics,
        splits=splits,
        runs=runs,
        ledger=ledger_frame(evaluated, run_ids),
        history=history_frame(trained, run_ids),
        representatives={
            key: Representative(seed, run_id, by_key[(*key, seed, 0)].network)
            for key, (seed, run_id) in median_runs(runs, metrics).items()
        },
        provenance={"command": "", "commit": "", "dirty": False, "versions": {}, "begun": ""},
        findings=check_data(splits),
    )
