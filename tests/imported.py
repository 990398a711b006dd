"""What processes of `tests.starting` have before they begin: all imports of a run and a report, and the shortcuts."""

import gc
from importlib import import_module

import pytest

from tests import shortcuts

gc.disable()  # nothing of this will ever be garbage
LATE = ["mlflow.pytorch", "optuna.storages", "seaborn", "sklearn.datasets", "sklearn.ensemble", "torch.export._trace"]
LATE += ["pipeline.cli", "pipeline.stages.reporting.pictures", "pipeline.stages.tuning.study"]
LATE += ["pipeline.tracking.servable", "pipeline.tracking.opening", "pipeline.training.checkpoints"]
for name in LATE:
    import_module(name)
shortcuts.empty_store()
shortcuts.take(pytest.MonkeyPatch())
gc.freeze()
gc.enable()
