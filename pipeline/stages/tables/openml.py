"""Read a table of OpenML, by scikit-learn's `fetch_openml`, into a dataset."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

from pipeline.artifacts import Dataset
from pipeline.errors import BadInput
from pipeline.stages.tables.columns import Cells
from pipeline.stages.tables.files import Source, listed
from pipeline.stages.tables.spec import DEFAULT_TARGET, OpenmlSpec
from pipeline.stages.tables.table import columns_to_read, dataset_of, under_key

LOAD = "load"
SEVERAL = "Multiple active versions"  # how scikit-learn begins to say so
RETRYING = "A network error occurred"


@under_key(LOAD)
def read_openml(name: str, spec: OpenmlSpec, folder: Path) -> Dataset:
    """Fetch a table of OpenML, or find it in scikit-learn's cache; its columns are read as those of a file.

    Nominal columns are texts, whatever they look like. What scikit-learn warns of becomes a notice.

    Parameters
    ----------
    name:
        Of the dataset.
    spec:
        What the experiment file says.
    folder:
        Where the experiment file lies.

    Raises
    ------
    BadInput
        When there is no such table, several go by its name, OpenML can't be reached and the cache doesn't hold it, or
        it can't be used or lacks what the spec names.
    """
    import pyarrow as pa

    bunch, warned = _fetched(spec, folder)
    details, frame = bunch.details, bunch.frame
    shown = f"OpenML table {details['id']} ({details['name']}, version {details['version']})"
    source = Source(shown, tuple(frame.columns))
    if not len(frame):
        raise source.complain("has no rows", "name another table")
    if spec.target == DEFAULT_TARGET:
        spec = spec.with_target(_target(source, details.get("default_target_attribute")))
    table = pa.Table.from_pandas(frame[columns_to_read(spec, source)], preserve_index=False)
    columns = {one: table.column(one) for one in table.column_names}
    return dataset_of(name, spec, Cells(source, spec.na_values), columns, {}, notices=warned)


def _target(source: Source, named: str | None) -> str:
    """Return the column that OpenML names as the target; it may name none, or several with commas between."""
    if named in source.names:
        return str(named)
    problem = f"{source.shown} has {f'several targets, {named}' if named else 'no target of its own'}"
    raise BadInput(problem, field="target", remedy=f"name one of its columns, {listed(source.names)}")


def _fetched(spec: OpenmlSpec, folder: Path) -> tuple[Any, tuple[str, ...]]:
    """Return scikit-learn's answer, and what it warns of.

    No target is asked for: scikit-learn refuses one with missing values, which can be had here. The parser is the one
    that leaves nominal values as they are written: the other makes numbers of some, and fails on them with pandas 3.1
    (scikit-learn issue 34892).
    """
    from sklearn.datasets import fetch_openml

    given = {} if spec.name is None else {"name": spec.name, "version": spec.version}
    cache = _cache(spec, folder)
    was_there = cache.exists()
    with _complaining(spec, cache), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", RETRYING)
        warnings.filterwarnings("error", SEVERAL)
        try:
            bunch = fetch_openml(
                **given,
                data_id=spec.data_id,
                data_home=cache,
                target_column=None,
                cache=spec.cache,
                as_frame=True,
                parser="liac-arff",
                n_retries=spec.n_retries,
                delay=spec.delay,
            )
        finally:
            _remove_empty(cache / "openml" if was_there else cache)
    said = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    return bunch, tuple(f"scikit-learn says: {' '.join(one.split())}" for one in said)


def _cache(spec: OpenmlSpec, folder: Path) -> Path:
    """Return scikit-learn's folder, without making it as `sklearn.datasets.get_data_home` does."""
    given = spec.data_home or os.environ.get("SCIKIT_LEARN_DATA", "~/scikit_learn_data")
    path = Path(os.path.expanduser(given))  # noqa: PTH111  # the other one fails where there is no such user
    return folder / path if spec.data_home else path


@contextmanager
def _complaining(spec: OpenmlSpec, cache: Path) -> Iterator[None]:
    """Turn what scikit-learn raises into complaints."""
    try:
        yield
    except UserWarning as error:
        versions = re.findall(r"- version (\d+)", str(error))
        problem = f"OpenML has several active tables {spec.name!r}, which may have nothing in common"
        remedy = f"give version: {versions[0]}, or another (there are {' and '.join(versions)} at least)"
        raise BadInput(problem, field="version", remedy=remedy) from error
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        cached = f"scikit-learn's cache, {cache}, doesn't hold {spec.asked_for}" if spec.cache else "cache is false"
        problem = f"OpenML can't be reached ({reason}), and {cached}"
        raise BadInput(
            problem, field=LOAD, remedy="connect to the network, or give the data_home of a cache"
        ) from error
    except OSError as error:
        problem = f"scikit-learn's cache can't be used: {error.strerror}: {error.filename}"
        raise BadInput(problem, field="data_home", remedy="give another folder") from error
    except Exception as error:  # what is wrong with a table comes as whatever the parser stumbled over
        said = str(error.args[0] if error.args else error).rstrip(".").splitlines()[0]
        field = "data_id" if spec.name is None else "name"
        raise BadInput(f"OpenML: {said}", field=field, remedy="look tables up at https://www.openml.org") from error


def _remove_empty(folder: Path) -> None:
    """Remove folders that scikit-learn makes before it knows whether there is anything to put into them."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
