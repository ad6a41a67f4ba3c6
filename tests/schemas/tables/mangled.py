"""Mangled tables, and what an independent reader makes of them: pandas for the cells, a counter for the lines."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import math
import pathlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("user_id", "item_id", "timestamp", "value", "query")
WORDS_FOR_NOTHING = ("", "nan", "NaN", "None", "null", "NULL", "<NA>", "  ", "\\N")
IDS = ("007", "7", "u 1", "商品-1", "🙂", "a_b", "1e5", "0x10", "true", "Nancy", "é", "ID#3", "12.0")
IDS += ("\ufeffu", "u\u200b1", "\u00a0n", "a\u00adb", "７", "a\u0301", "user.id")  # That look like others.
TEXTS = ("", "lamp", "red, round", '27" wide', 'a "b" c', "two\nlines", "一, 二", "nan", "a;b|c\td", "it's", "ü")
NUMBERS = ("1", "2.5", "-3e2", "", "nan", "None", "0", " 4 ", "1e-3")
NOT_NUMBERS = ("x", "inf", "1e39", "1,5", "1_0", "12 €", "0x1F")
NOT_TIMES = ("soon", "12:30", "1999-02-30", "1e40", "0x10", "31/12/1999", "2020-01-01 00:00 CST")
UNITS = ("s", "ms", "us", "ns", "date", "iso")
OTHER_UNITS = {
    "s": ("ms", "date"),
    "ms": ("s", "date"),
    "us": ("ms",),
    "ns": ("us",),
    "date": ("s",),
    "iso": ("iso",),
}
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "gb18030", "cp1252")
SEPARATORS = {"csv": ",;|\t", "tsv": "\t"}


@dataclasses.dataclass
class Table:
    """A file, and what is in it."""

    name: str
    content: bytes
    options: dict[str, Any]  # Of the table in dataset.yaml.
    good: dict[int, tuple[Any, ...]]  # Line → values in the order of COLUMNS; None: missing.
    bad: set[int]  # Lines of rows that cannot be used.
    lost: set[tuple[int, str]]  # Line and column of values that cannot be read.
    num_rows: int  # That were written.
    is_proper: bool  # Written by a program that knows the format, so that all quotes are in their place.

    @property
    def starts(self) -> set[int]:
        """Lines where rows begin."""
        return self.good.keys() | self.bad


def make(rng: random.Random) -> Table:
    """One table of one of the formats."""
    kind = rng.choice(("csv", "csv", "naive csv", "tsv", "jsonl", "parquet"))
    unit = rng.choice(UNITS)
    rows = [_row(rng, unit) for _ in range(rng.randint(8, 40))]
    numbers = [row[2] for row in rows if row[2].isdigit() and row[2] not in NOT_TIMES]
    if unit != "iso" and 4 * sum(_read_time(number, unit) is not None for number in numbers) < 3 * len(numbers):
        return make(rng)  # Too many times in another unit for this one to be the column's.
    if kind == "jsonl":
        return _json_lines(rng, rows, unit)
    if kind == "parquet":
        return _parquet(rng, rows, unit)
    return _delimited(rng, rows, unit, kind)


# --- What a cell is ---


def _row(rng: random.Random, unit: str) -> list[str]:
    user, item = (rng.choice(IDS) if rng.random() < 0.95 else rng.choice(WORDS_FOR_NOTHING) for _ in "ui")
    seconds = rng.randint(631_152_000, 1_893_456_000)  # 1990 to 2029.
    time = _time(rng, seconds, unit)
    if rng.random() < 0.05:
        time = rng.choice(NOT_TIMES)
    elif rng.random() < 0.05:
        time = _time(rng, seconds, rng.choice(OTHER_UNITS.get(unit, (unit,))))
    value = rng.choice(NUMBERS if rng.random() < 0.9 else NOT_NUMBERS)
    return [user, item, time, value, rng.choice(TEXTS)]


def _time(rng: random.Random, seconds: int, unit: str) -> str:
    moment = pd.Timestamp(seconds, unit="s", tz="UTC")
    if unit == "date":
        return moment.strftime(rng.choice(("%Y%m%d", "%Y%m%d", "%Y%m%d%H%M%S")))
    if unit == "iso" or rng.random() < 0.1:
        zones = ("UTC", "Europe/Paris", "Asia/Kolkata")
        text = moment.tz_convert(rng.choice(zones)).isoformat()
        day = f"{moment.year}/{moment.month}/{moment.day}"
        others = ("%Y-%m-%d %H:%M:%S UTC", "%Y年%m月%d日 %H:%M:%S", f"{day} %H:%M:%S", day)
        return rng.choice((text, text.replace("T", " "), *map(moment.strftime, others)))
    number = seconds * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return str(number) if unit != "s" or rng.random() < 0.9 else f"{number}.25"


def _read_time(text: str, unit: str) -> int | None:
    """By pandas; None: it is none, in this unit."""
    if text in NOT_TIMES:
        return None
    if not text.replace(".", "", 1).isdigit():
        moment = pd.to_datetime(text, format="%Y年%m月%d日 %H:%M:%S") if "年" in text else pd.Timestamp(text)
        return math.floor((moment if moment.tzinfo else moment.tz_localize("UTC")).timestamp())
    number = math.floor(float(text)) if "." in text else int(text)
    if unit == "date":
        try:
            return int(pd.Timestamp(pd.to_datetime(text)).timestamp()) if len(text) in (8, 14) else None
        except ValueError:
            return None
    by_size = ("s", "ms", "us", "ns")[[len(str(number)) <= digits for digits in (10, 13, 16, 19)].index(True)]
    wanted = by_size if unit == "iso" else unit
    if unit != "iso" and len(text) in (8, 14) and _read_time(text, "date") is not None:
        return None  # Digits of a date among times since 1970.
    return int(pd.Timestamp(number, unit=wanted).timestamp()) if by_size == wanted else None


def _is_nothing(text: str | None) -> bool:
    return text is None or text in WORDS_FOR_NOTHING or not text.strip()


def _expect(cells: Sequence[str | None], unit: str) -> tuple[tuple[Any, ...] | None, set[str]]:
    """The values, or None if the row is bad; and the columns whose value is lost."""
    user, item, time, value, query = cells
    seconds = None if _is_nothing(time) else _read_time(str(time), unit)
    if _is_nothing(user) or _is_nothing(item) or seconds is None:
        return None, set()
    lost: set[str] = set()
    number: float | None = None
    if not _is_nothing(value):
        try:
            parsed = float(str(value).replace("_", "x"))
            number = float(np.float32(parsed)) if abs(parsed) < 3e38 else None
        except ValueError:
            pass
        if number is None:
            lost.add("value")
    return (user, item, seconds, number, query if query not in ("", None, "\\N") else None), lost


class _Counted:
    """Adds up what is expected of the rows, line by line."""

    def __init__(self) -> None:
        self.good: dict[int, tuple[Any, ...]] = {}
        self.bad: set[int] = set()
        self.lost: set[tuple[int, str]] = set()

    def add(self, line: int, cells: Sequence[str | None] | None, unit: str) -> None:
        """`cells` None: something is wrong with the row as a whole."""
        values, lost = (None, set[str]()) if cells is None else _expect(cells, unit)
        if values is None:
            self.bad.add(line)
        else:
            self.good[line] = values
            self.lost |= {(line, column) for column in lost}

    def table(self, name: str, content: bytes, num_rows: int, **options: Any) -> Table:
        return Table(name, content, options, self.good, self.bad, self.lost, num_rows, "naive" not in name)


# --- How a row is written ---


def _delimited(rng: random.Random, rows: list[list[str]], unit: str, kind: str) -> Table:
    encoding = rng.choice(ENCODINGS)
    separator = rng.choice(SEPARATORS[kind.split()[-1]])
    line_end = rng.choice(("\n", "\r\n"))
    rows = [[cell.encode(encoding, "ignore").decode(encoding) for cell in row] for row in rows]
    if kind != "csv":  # Without quotes a cell holds neither delimiters nor line ends; but quotes at either end.
        rows = [[cell.replace(separator, " ").replace("\n", " ") for cell in row] for row in rows]
        for row in rows:
            row[4] = rng.choice(("", "", "", '"', "")) + row[4].strip('"') + rng.choice(("", "", "", '"'))
            if row[4].startswith('"') and row[4].endswith('"'):
                row[4] = row[4].strip('"')
    counted, lines, whole = _Counted(), [separator.join(COLUMNS)], []
    for row in rows:
        line = 1 + sum(text.count("\n") + 1 for text in lines[1:]) + 1
        cells: list[str] | None = row
        text = None
        if rng.random() < 0.05:
            row, cells = rng.choice((row[:3], [*row, "x"])), None
        elif kind != "csv" and rng.random() < 0.03:  # Two rows in a line.
            text, cells = "\r".join([separator.join(row)] * 2), None
        else:
            whole.append(row)
        lines.append(_quoted(row, separator) if kind == "csv" else text or separator.join(row))
        counted.add(line, cells, unit)
    text = line_end.join(lines) + rng.choice(("", line_end))
    content = text.encode(encoding)
    if kind == "csv":
        _check_by_pandas(content, encoding, separator, whole)
    options: dict[str, Any] = {} if encoding in ("utf-8", "utf-8-sig", "utf-16") else {"encoding": encoding}
    if separator != {"tsv": "\t"}.get(kind, ","):
        options["delimiter"] = separator
    name = kind.replace(" ", ".")
    if rng.random() < 0.2:
        name, content = f"{name}.gz", gzip.compress(content)
    return counted.table(name, content, len(rows), **options)


def _quoted(row: Sequence[str], separator: str) -> str:
    sink = io.StringIO()
    csv.writer(sink, delimiter=separator, lineterminator="\n").writerow(row)
    return sink.getvalue().removesuffix("\n")


def _check_by_pandas(content: bytes, encoding: str, separator: str, rows: Sequence[Sequence[str]]) -> None:
    """The reader that is not ours sees the same cells in as many whole rows."""
    read = pd.read_csv(
        io.BytesIO(content),
        sep=separator,
        encoding=encoding,
        header=None,
        names=[*COLUMNS, "more"],  # A row of too many values has one there.
        dtype=str,
        keep_default_na=False,
        engine="python",
    )
    read = read.iloc[1:]
    whole = read[read["query"].notna() & read["more"].isna()].to_numpy()[:, :5].tolist()
    assert whole == [[*cells] for cells in rows]


def _json_lines(rng: random.Random, rows: list[list[str]], unit: str) -> Table:
    counted, lines = _Counted(), []
    for row in rows:
        line = len(lines) + 1
        event: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
        cells: list[str | None] | None = [*row]
        if row[2].isdigit() and rng.random() < 0.5:
            event["timestamp"] = int(row[2])
        if rng.random() < 0.3:
            place = rng.randrange(5)
            event[COLUMNS[place]], cells[place] = rng.choice((None, math.nan)), None
        elif rng.random() < 0.3:
            place = rng.randrange(3, 5)
            del event[COLUMNS[place]]
            cells[place] = None
        text = json.dumps(event, ensure_ascii=rng.random() < 0.5)
        if rng.random() < 0.05:
            text, cells = text[: rng.randrange(1, len(text))], None
        lines.append(text)
        counted.add(line, cells, unit)
    content = (rng.choice(("", "\ufeff")) + "\n".join(lines) + rng.choice(("", "\n"))).encode()
    return counted.table("jsonl", content, len(lines))


def _parquet(rng: random.Random, rows: list[list[str]], unit: str) -> Table:
    counted = _Counted()
    columns: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
    cells: list[list[str | None]] = [[*row] for row in rows]
    if rng.random() < 0.5:  # Typed times, with gaps.
        times = [None if rng.random() < 0.1 else rng.randint(0, 2**31) for _ in rows]
        stamps = pd.Series(pd.to_datetime(times, unit="s", utc=rng.random() < 0.5))
        columns["timestamp"] = stamps.dt.floor("s")
        for row, time in zip(cells, times, strict=True):
            row[2] = None if time is None else pd.Timestamp(time, unit="s").isoformat() + "Z"
    if rng.random() < 0.5:  # Ids that became floats because one is missing.
        numbers = [None if rng.random() < 0.1 else float(rng.randint(1, 99) * 10**9) for _ in rows]
        columns["user_id"] = pd.Series(numbers, dtype="float64")
        for row, number in zip(cells, numbers, strict=True):
            row[0] = None if number is None else str(int(number))
        if rng.random() < 0.2:  # One of more digits than a float holds.
            columns["user_id"][0], cells[0][0] = 2.0**60, None
    sink = io.BytesIO()
    pd.DataFrame(columns).to_parquet(sink, row_group_size=rng.choice((3, 1000)))
    for line, row in enumerate(cells, 1):
        counted.add(line, row, unit)
    return counted.table("parquet", sink.getvalue(), len(rows))


def write(table: Table, folder: pathlib.Path) -> pathlib.Path:
    """Puts the file into a folder."""
    path = folder / f"t.{table.name}"
    path.write_bytes(table.content)
    return path
