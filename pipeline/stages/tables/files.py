"""Open a CSV or Parquet file as Arrow columns; a cell of a CSV file is text there."""

from __future__ import annotations

import codecs
import csv
import difflib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BadInput
from pipeline.stages.tables.spec import CSV, PARQUET

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = (",", ";", "\t", "|")
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SAMPLE = 2**20  # bytes that delimiter and decimal are told from
BLOCK = 2**22  # bytes parsed at once; no row may be longer
NAMED = 5  # columns in a sentence
PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # a nameless index, which pandas saves along with its table
WITH_COMMA = re.compile(r"[+-]?\d+,\d+")
WITH_POINT = re.compile(r"[+-]?\d+\.\d+")


@dataclass(frozen=True)
class Format:
    """How the text of a CSV file is to be read."""

    delimiter: str
    encoding: str
    decimal: str


@dataclass(frozen=True)
class Source:
    """A table that was opened: what it is called in complaints, its columns."""

    shown: str
    names: tuple[str, ...]
    format: Format | None = None  # None where cells have types of their own

    def complain(self, problem: str, remedy: str) -> BadInput:
        """Return a complaint about the table."""
        return complain(self.shown, problem, remedy)


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A file that was opened."""

    path: Path


def complain(shown: str, problem: str, remedy: str) -> BadInput:
    """Return a complaint about a table."""
    return BadInput(f"{shown}{'' if problem.startswith(',') else ' '}{problem}", remedy=remedy)


def find(file: str, folder: Path) -> Path:
    """Path of a data file that an experiment file in `folder` names.

    Raises
    ------
    BadInput
        When it isn't there, is no file, or seems to lie in the folder and doesn't, behind a symbolic link.
    """
    path = Path(file) if Path(file).is_absolute() else folder / file
    check_file(path, file)
    looks_inside = not Path(file).is_absolute() and ".." not in Path(file).parts
    if looks_inside and not path.resolve().is_relative_to(folder.resolve()):
        problem = f"leads out of the experiment's folder by a symbolic link, to {path.resolve()}"
        raise complain(file, problem, "name that path openly, or copy the file")
    return path


def check_file(path: Path, shown: str) -> None:
    """Refuse what isn't there, or is no file.

    Raises
    ------
    BadInput
        Saying which.
    """
    try:
        path.stat()
    except FileNotFoundError as error:
        remedy = f"correct the path: it was looked for as {path.absolute()}"
        raise complain(shown, "isn't there", remedy) from error
    except (OSError, ValueError) as error:  # no right to look, a name too long, a zero byte
        raise complain(repr(shown), f"can't be opened: {error}", "correct the path") from error
    if path.is_dir():
        raise complain(shown, "is a directory", "give the file itself")
    if not path.is_file():
        raise complain(shown, "is no regular file", "save the table as a file")


def open_table(
    path: Path,
    shown: str,
    *,
    hint: Sequence[str] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
) -> FileSource:
    """Find out how a file is to be read, and what its columns are called.

    Parameters
    ----------
    path, shown:
        Where it is, and what complaints call it.
    hint:
        Names of columns that ought to be there: they help to tell the delimiter.
    delimiter, encoding, decimal:
        Of a CSV file; detected where None.

    Raises
    ------
    BadInput
        When it is empty, can't be read, or its columns aren't named, each by a name of its own.
    """
    suffix = path.suffix.lower()
    if suffix not in (*CSV, *PARQUET):
        raise complain(shown, "is no kind of file that Photofinish reads", "save it as CSV or Parquet")
    with _readable(shown):
        if not path.stat().st_size:
            raise complain(shown, "is empty", "save the table again")
        if suffix in PARQUET:
            names = _parquet(path).schema_arrow.names
            source = FileSource(shown, tuple(name for name in names if not PANDAS_INDEX.fullmatch(name)), path=path)
        else:
            source = _open_csv(path, shown, hint, delimiter, encoding, decimal)
    _check_names(source)
    return source


def read_columns(source: FileSource, names: Sequence[str], missing: Sequence[str]) -> list[pa.ChunkedArray]:
    """Read some columns whole, in the order asked for; a CSV file's are text, or null where that is `missing`.

    Raises
    ------
    BadInput
        When the file can't be read to its end, or has no rows.
    """
    with _readable(source.shown, source):
        if source.format is None:
            table = _parquet(source.path).read(columns=list(names))
        else:
            from pyarrow import csv as arrow_csv

            table = arrow_csv.read_csv(source.path, **_csv_options(source.format, source.names, names, missing))
    if not len(table):
        raise source.complain("has no rows", "give it rows")
    return [table.column(name) for name in names]


def read_batches(
    source: FileSource, names: Sequence[str], missing: Sequence[str], rows_at_once: int
) -> Iterator[pa.RecordBatch]:
    """Read some columns block by block, at most so many rows each; a CSV file's are text, or null.

    Raises
    ------
    BadInput
        When a block can't be read.
    """
    with _readable(source.shown, source):
        if source.format is None:
            yield from _parquet(source.path).iter_batches(batch_size=rows_at_once, columns=list(names))
            return
        from pyarrow import csv as arrow_csv

        with arrow_csv.open_csv(source.path, **_csv_options(source.format, source.names, names, missing)) as reader:
            for batch in reader:
                for start in range(0, len(batch), rows_at_once):
                    yield batch.slice(start, rows_at_once)


@contextmanager
def _readable(shown: str, source: FileSource | None = None) -> Iterator[None]:
    """Turn what Arrow and the system say about a file into a complaint; of a CSV file's rows, the line is found."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if source is not None and source.format is not None:
            raise _fault(source.path, shown, source.format, len(source.names), error) from error
        said = " ".join(str(error).split()).rstrip(".")
        raise complain(shown, f"can't be read: {said}", "save the table again") from error


def _parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path, memory_map=False)


def _open_csv(
    path: Path, shown: str, hint: Sequence[str], delimiter: str | None, encoding: str | None, decimal: str | None
) -> FileSource:
    with path.open("rb") as file:
        head = file.read(SAMPLE)
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
    encoding = marked or encoding or "utf-8"
    rows = Rows(head, encoding, whole=len(head) < SAMPLE)
    delimiter = delimiter or _delimiter(rows, hint)
    sample = rows.parted(delimiter)
    if not sample or any("\ufffd" in name for name in sample[0]) or _is_wide(encoding):
        _check_text(path, shown, encoding)
    if not sample:
        raise complain(shown, "is empty", "save the table again")
    if rows.whole and len(sample) == 1:
        raise complain(shown, "has a header and no rows", "give it rows")
    found = Format(delimiter, encoding, decimal or _decimal(sample, delimiter))
    if _may_have_open_quote(path, encoding):
        _check_rows(path, shown, found, len(sample[0]))
    return FileSource(shown, tuple(sample[0]), found, path=path)


@dataclass(frozen=True)
class Rows:
    """The first rows of a CSV file."""

    head: bytes
    encoding: str
    whole: bool  # whether these bytes are the whole file

    def parted(self, delimiter: str) -> list[list[str]]:
        """Return them as cells, without empty ones and, unless they are all there are, without the last."""
        text = self.head.decode(self.encoding, errors="replace").removeprefix("\ufeff")
        rows: list[list[str]] = []
        try:
            rows.extend(row for row in csv.reader(_lines(text), delimiter=delimiter) if row)
        except csv.Error:  # a cell of more than 128 KiB
            return rows
        return rows if self.whole or len(rows) < 2 else rows[:-1]


def _lines(text: str) -> Iterator[str]:
    """Part a text at its line ends alone: `str.splitlines` would part it at others too."""
    for match in re.finditer(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text):
        yield match.group()


def _delimiter(rows: Rows, hint: Sequence[str]) -> str:
    """Return the one that parts the header into the names that ought to be there, and then the most rows alike."""

    def merit(delimiter: str) -> tuple[int, float, int]:
        parted = rows.parted(delimiter)
        if not parted:
            return 0, 0.0, 0
        width = len(parted[0])
        alike = sum(len(row) == width for row in parted) / len(parted) if width > 1 else 0.0
        return len(set(hint) & set(parted[0])), alike, width

    return max(DELIMITERS, key=merit)


def _decimal(sample: list[list[str]], delimiter: str) -> str:
    """Return the comma where numbers of the sample have one, in more cells than a point."""
    if delimiter == ",":
        return "."
    seen: Counter[str] = Counter()
    for row in sample[1:]:
        for cell in row:
            seen[","] += bool(WITH_COMMA.fullmatch(cell.strip()))
            seen["."] += bool(WITH_POINT.fullmatch(cell.strip()))
    return "," if seen[","] > seen["."] else "."


def _csv_options(form: Format, names: Sequence[str], wanted: Sequence[str], missing: Sequence[str]) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    return {
        "read_options": arrow_csv.ReadOptions(encoding=form.encoding, block_size=BLOCK, column_names=None),
        "parse_options": arrow_csv.ParseOptions(delimiter=form.delimiter, newlines_in_values=True),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=list(wanted),
            null_values=list(missing),
            strings_can_be_null=True,
        ),
    }


def _check_names(source: Source) -> None:
    twice = [name for name, count in Counter(source.names).items() if count > 1]
    if twice:
        raise source.complain(f"has more than one column {twice[0]!r}", "give each a name of its own")
    empty = [place for place, name in enumerate(source.names, start=1) if not name.strip()]
    if empty:
        problem = f"has no name for its column {empty[0]}"
        raise source.complain(problem, "name it in the first line, or save the table without it")


def _check_text(path: Path, shown: str, encoding: str) -> None:
    """Find the first line that isn't text in this encoding."""
    wide = _is_wide(encoding)
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        pieces = iter((lambda: file.read(BLOCK)) if wide else file.readline, b"")
        for line, piece in enumerate(itertools.chain(pieces, [b""]), start=1):
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                where = "" if wide else f", line {line if piece else line - 1}:"
                problem = f"{where} byte 0x{error.object[error.start]:02x} is not {encoding.upper()}"
                remedy = "save it as UTF-8, or give its encoding: (cp1252 is common in Western Europe)"
                raise complain(shown, problem, remedy) from error


def _fault(path: Path, shown: str, form: Format, width: int, error: Exception) -> BadInput:
    """Look for the line of a CSV file that Arrow couldn't read."""
    try:
        _check_text(path, shown, form.encoding)
        _check_rows(path, shown, form, width)
    except BadInput as found:
        return found
    said = " ".join(str(error).split()).rstrip(".")
    if "straddling" in said or "too large" in said:
        problem = f"has a row of more than {BLOCK // 2**20} MiB"
        return complain(shown, problem, "look for a quote that is opened and never closed")
    return complain(shown, f"can't be read: {said}", "save the table again")


def _may_have_open_quote(path: Path, encoding: str) -> bool:
    """Whether quotes don't come in pairs: Arrow takes all that follows an open one for a cell."""
    if _is_wide(encoding):
        return True
    with path.open("rb") as file:
        return sum(block.count(b'"') for block in iter(lambda: file.read(BLOCK), b"")) % 2 == 1


def _is_wide(encoding: str) -> bool:
    """Whether characters take several bytes each, line ends too."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def _check_rows(path: Path, shown: str, form: Format, width: int) -> None:
    """Look for a row of another length than the header, and for a quote that isn't closed."""
    previous = 0
    with path.open(encoding=form.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=form.delimiter, strict=True)
        try:
            for row in reader:
                if row and len(row) != width:
                    cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
                    problem = f", line {previous + 1}: has {cells}, where the header has {width}"
                    remedy = "correct the row, or quote the text that holds a delimiter"
                    raise complain(shown, problem, remedy)
                previous = reader.line_num
        except csv.Error as error:
            if "end of data" in str(error):
                problem = f", line {previous + 1}: a quote is opened and never closed"
                raise complain(shown, problem, "close it, or write it twice where it is meant") from error


def meant(name: str, names: Sequence[str]) -> str:
    """Remedy for a column that isn't there: the nearest name, and some of those that are there."""
    lowered = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    suggested = f"did you mean {lowered[near[0]]!r}? " if near else ""
    return f"{suggested}its columns are {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Name columns, at most five."""
    shown = ", ".join(repr(name) for name in names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
