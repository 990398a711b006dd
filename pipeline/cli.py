"""The command line: arguments in, one line and an exit code out when something is wrong.

Exit codes: 0 done, 1 failed, 2 bad input, 130 and 143 interrupted by SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline import __version__, interruption, processes
from pipeline.errors import BadInput, DiskError, Interrupted, Occupied, PhotofinishError, printable

if TYPE_CHECKING:
    from pipeline.experiment import Experiment
    from pipeline.walk import Stage

STAGES = ("generate", "split", "tune", "train", "evaluate", "report")  # as walk.STAGES, without its imports
MLFLOW_RUN = "MLFLOW_RUN_ID"  # set by `mlflow run` for the command it starts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # Imports leave a million objects that stay; looking for garbage among them would take a good part of a short run.
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    interruption.install()
    _end_with_mlflow_run()
    try:
        options = make_parser().parse_args(arguments)
        options.command(options)
    except PhotofinishError as error:
        _say(str(error))
        if isinstance(error, BadInput | Occupied):
            _fail_mlflow_run(str(error))
        return error.exit_code
    except BrokenPipeError:  # `… | head`: the reader has seen enough, and everything else is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if not DiskError.speaks_of(error):
            raise
        _say(str(DiskError.of(error)))
        return DiskError.exit_code
    except KeyboardInterrupt as error:  # a plain one comes from a worker that Ctrl-C has reached too
        _say("interrupted: what was finished is kept, the rest is marked KILLED")
        return error.exit_code if isinstance(error, Interrupted) else Interrupted().exit_code
    return 0


def run_command(options: argparse.Namespace) -> None:
    """Run an experiment from file to report, or to the stage asked for."""
    from pipeline.experiment_file import find, load

    path = find(options.experiment)
    experiment = load(path, options.set, options.seeds, options.trials)
    _run(options, experiment, str(path), options.until)


def tune_command(options: argparse.Namespace) -> None:
    """Search the hyperparameters of an experiment, and train nothing else."""
    from pipeline.experiment_file import find, load, no_tuning

    path = find(options.experiment)
    experiment = load(path, options.set, options.seeds, options.trials)
    if not experiment.is_tuned:
        raise no_tuning(str(path))
    _run(options, experiment, str(path), "tune")


def _run(options: argparse.Namespace, experiment: Experiment, path: str, until: Stage) -> None:
    started = time.perf_counter()
    from pipeline import console, runner, walk  # after the file is known to be good: bad input is told at once

    try:
        how = walk.Options(
            until,
            options.jobs,
            options.cluster or None,  # MLproject parameters always have a value: an empty one means "none"
            options.device,
            options.reports,
            options.memory,
            options.storage,
            options.fresh,
        )
        listener = console.Progress()
        with listener:
            finished = runner.run(experiment, path, how, listener)
    except BadInput as error:
        if error.field not in {option.name for option in fields(walk.Options)}:
            raise
        named = f"--{error.field}"  # each option is a flag here
        raise BadInput(error.problem, field=named, remedy=error.remedy, file=error.file) from error
    console.show(experiment, finished, time.perf_counter() - started)


def report_command(options: argparse.Namespace) -> None:
    """Make a report again from the tracking store, or one of two comparisons side by side."""
    if (options.experiment is None) == (options.compare is None):
        problem = "neither an experiment nor a run is named" if options.compare is None else "names all that is shown"
        raise BadInput(
            problem,
            field="report" if options.compare is None else "--compare",
            remedy="give EXPERIMENT or RUN_ID, or else --compare RUN_ID RUN_ID",
        )
    from pipeline import console, stored, walk

    drawing = walk.Options(reports=options.reports, svg=options.svg, drawers=options.jobs)
    listener = console.Progress()
    if options.compare:
        with listener:
            compared = stored.put_side_by_side(options.compare, drawing, listener)
        console.show_side_by_side(compared)
        return
    run_id = _run_id(options.experiment)
    with listener:
        folder = stored.rebuild_report(run_id, drawing, listener)
    console.show_report(folder)


def _run_id(target: str) -> str:
    """Return the run id that is meant: of an experiment that of its newest comparison."""
    from pipeline.comparison.comparability import may_be_run_id
    from pipeline.experiment_file import catalogue, find, read_yaml

    if may_be_run_id(target) and target not in {file.stem for file in catalogue()}:
        from pipeline.tracking.compared import find_comparison
        from pipeline.tracking.store import connect

        run_id: str = find_comparison(connect(), target).info.run_id
        return run_id
    name = str(read_yaml(find(target)).get("name", target))
    from pipeline.tracking.reader import latest_comparison

    return latest_comparison(name)


def compare_command(options: argparse.Namespace) -> None:
    """Compare runs that are in the tracking store."""
    from pipeline import console, stored

    console.show_compared(stored.compare(options.runs, options.reports))


def predict_command(options: argparse.Namespace) -> None:
    """Predict a table by a model of the store."""
    from pipeline import console, stored

    with console.counting_rows(beside_rows=options.out is None) as advance:
        rows = stored.predict(options.model, options.table, options.out, advance)
    if options.out:
        console.show_predicted(rows, options.out)


def promote_command(options: argparse.Namespace) -> None:
    """Make a model the champion in the model registry, if the verdict allows it."""
    from pipeline import console, stored

    console.show_promoted(stored.promote(options.run, options.name))


def list_command(_: argparse.Namespace) -> None:
    """List the experiments in `experiments/`, with their questions."""
    from pipeline.console import show_experiments
    from pipeline.experiment_file import FOLDER, catalogue, read_yaml

    paths = catalogue()
    if not paths:
        raise BadInput(f"no folder {FOLDER}/ with experiments here", remedy="run it where your experiments/ lies")
    show_experiments([(path, str(read_yaml(path).get("question", ""))) for path in paths])


def schema_command(_: argparse.Namespace) -> None:
    """Print the JSON schema of experiment files, by which editors complete and check them."""
    from pipeline.schema import to_json

    sys.stdout.write(to_json())


class _Parser(argparse.ArgumentParser):
    """Complains about arguments as about every other bad input."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message, remedy=f"see {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """Return what takes a command line apart; docs/reference.md is made of it too."""
    parser = _Parser(prog="photofinish", description="Compare models, and say whether the difference is real.")
    parser.add_argument("--version", action="version", version=f"photofinish {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_tune(commands)
    report = commands.add_parser("report", help="make a report again from the tracking store")
    report.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT|RUN_ID", help="its newest comparison, or the one named"
    )
    report.add_argument(
        "--compare", nargs=2, metavar="RUN_ID", help="two comparisons side by side, and the verdict as of `compare`"
    )
    _add_reports(report)
    report.add_argument("--svg", action="store_true", help="write each picture as SVG too")
    report.add_argument(
        "--jobs", type=_positive, metavar="N", help="processes that draw (default: one a core, as far as they pay)"
    )
    report.set_defaults(command=report_command)
    compare = commands.add_parser("compare", help="compare runs in the tracking store, if they can be compared")
    compare.add_argument("runs", nargs="+", metavar="RUN_ID", help="comparisons or single model runs, two or more")
    _add_reports(compare)
    compare.set_defaults(command=compare_command)
    predict = commands.add_parser("predict", help="predict a table by a model in the tracking store")
    predict.add_argument("model", metavar="MODEL_URI", help="models:/NAME@champion, runs:/RUN_ID/model, or a run's id")
    predict.add_argument(
        "table", type=Path, metavar="TABLE", help="CSV or Parquet, with the columns that were trained on"
    )
    predict.add_argument(
        "--out", type=Path, metavar="FILE", help="CSV or Parquet to write (default: CSV to the terminal)"
    )
    predict.set_defaults(command=predict_command)
    promote = commands.add_parser("promote", help="make a model the champion, if it isn't worse than the present one")
    promote.add_argument("run", metavar="RUN_ID", help="a model run that has a servable model")
    promote.add_argument(
        "--as", dest="name", metavar="NAME", help="name in the model registry (default <experiment>-<dataset>)"
    )
    promote.set_defaults(command=promote_command)
    listing = commands.add_parser("list", help="list the experiments here, with their questions")
    listing.set_defaults(command=list_command)
    schema = commands.add_parser("schema", help="print the JSON schema of experiment files, for editors")
    schema.set_defaults(command=schema_command)
    return parser


def _add_run(commands: argparse._SubParsersAction[_Parser]) -> None:
    run = commands.add_parser("run", help="run an experiment: tune, train, track, evaluate, report")
    run.add_argument(
        "--until", choices=STAGES, default="report", metavar="STAGE", help=f"stop after: {', '.join(STAGES)}"
    )
    _add_experiment(run)
    _add_reports(run)
    run.set_defaults(command=run_command)


def _add_tune(commands: argparse._SubParsersAction[_Parser]) -> None:
    tune = commands.add_parser("tune", help="search the hyperparameters of an experiment, and stop there")
    _add_experiment(tune)
    tune.set_defaults(command=tune_command, reports=Path("reports"))


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a YAML file, or a bare name in experiments/")
    parser.add_argument("--seeds", type=_count, metavar="N", help="use seeds 0 to N-1 instead of the file's")
    parser.add_argument("--trials", type=_count, metavar="N", help="trials of each search instead of the file's")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="worker processes (default 1)")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="train on a Dask cluster: tcp://HOST:8786, or local:4 to start one of 4 workers here",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, such as training.lr=0.01"
    )
    parser.add_argument(
        "--storage", metavar="URL", help="Optuna's storage (default PHOTOFINISH_STORAGE, else sqlite:///optuna.db)"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="reuse no model run; delete what searches have found, and search anew"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (default auto)"
    )
    parser.add_argument(
        "--memory",
        type=_mebibytes,
        metavar="MIB",
        help="bound on the buffers of networks that train together (default: an eighth of what is free)",
    )


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reports", type=Path, default=Path("reports"), metavar="DIR", help="where reports go (default reports/)"
    )


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _mebibytes(text: str) -> int:
    return _positive(text) * 2**20


def _count(text: str) -> int | None:
    # MLproject parameters always have a value, so one of them has to mean "none given".
    return None if text == "file" else _positive(text)


def _say(line: str) -> None:
    print(f"photofinish: {printable(line)}", file=sys.stderr)


def _end_with_mlflow_run() -> None:
    """Take it as SIGTERM when `mlflow run` is gone: it passes none on, and nobody else would know of this process."""
    runner = processes.ancestor("mlflow") if os.environ.get(MLFLOW_RUN) else None
    if runner is not None:
        processes.follow(runner, partial(os.kill, os.getpid(), signal.SIGTERM))


def _fail_mlflow_run(reason: str) -> None:
    """Under `mlflow run` there is a run already: it ends FAILED and says why."""
    run_id = os.environ.get(MLFLOW_RUN)
    if not run_id:
        return
    from pipeline.tracking.writer import fail_run

    fail_run(run_id, reason)
