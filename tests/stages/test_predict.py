from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import BadInput, DiskError
from pipeline.stages.predict import write_predictions


def blocks(count: int = 3, rows: int = 2) -> Iterator[pd.DataFrame]:
    for block in range(count):
        index = range(block * rows, (block + 1) * rows)
        yield pd.DataFrame({"label": ["=1+1", "-1"] * (rows // 2), "p_=1+1": 0.25}, index=index)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_blocks_become_one_table(suffix: str, tmp_path: Path) -> None:
    """One header, row ids of all blocks; each block is counted when written; formulas in CSV are marked as text."""
    out, counted = tmp_path / f"out{suffix}", []
    assert write_predictions(blocks(), out, counted.append) == 6
    assert counted == [2, 2, 2]
    made = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out, dtype={"label": str})
    assert list(made) == ["row_id", "label", "p_=1+1"]
    assert made["row_id"].tolist() == list(range(6))
    assert made["label"].tolist() == ["=1+1" if suffix == ".parquet" else "'=1+1", "-1"] * 3
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_can_not_be_written_to_its_end_leaves_what_was_there(suffix: str, tmp_path: Path) -> None:
    """Where no more can be written, or a block can't be made, the file is as before, and nothing lies beside it."""
    out = tmp_path / f"out{suffix}"
    out.write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"can't be written: .*File too large"):
            write_predictions((block.sample(frac=1) for block in blocks(20, 50_000)), out, lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def broken() -> Iterator[pd.DataFrame]:
        yield from blocks()
        raise BadInput("row 7 is odd")

    with pytest.raises(BadInput, match="row 7 is odd"):
        write_predictions(broken(), out, lambda _: None)
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]
