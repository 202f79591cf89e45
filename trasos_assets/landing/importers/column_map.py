"""The column map of ``events-csv``: a YAML file that says which column of the source is which field of an event."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import duckdb
import yaml

from trasos_assets.contracts.landing import EVENT, EVENT_TYPES
from trasos_assets.landing.importers.model import ImportSourceError

ISO = "iso"
UNIX_SECONDS = "unix_seconds"
UNIX_MILLISECONDS = "unix_milliseconds"
ENCODINGS = ("utf-8", "latin-1")
EVENT_FIELDS = tuple(column.name for column in EVENT.columns)


@dataclass(frozen=True)
class ColumnMap:
    """How to read one kind of CSV as events.

    ``source`` names the source: it begins every event id and every landed file. ``columns`` says for an event field
    which column of the source holds it; ``constants`` fills a field that has no column, or whose column is empty;
    ``values`` translates what a column says (null leaves the row out); ``null_values`` are texts that mean nothing.
    """

    source: str
    columns: dict[str, str]
    constants: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, str | None]] = field(default_factory=dict)
    timestamp_format: tuple[str, ...] = (ISO,)
    null_values: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Event fields that the map fills, in the format's order."""
        return tuple(name for name in EVENT_FIELDS if name in self.columns or name in self.constants)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _mapping(path: Path, key: str, value: Any) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ImportSourceError(f"{path}: {key} must map event fields, one 'field: ...' a line")
    unknown = [str(name) for name in value if name not in EVENT_FIELDS]
    if unknown:
        raise ImportSourceError(
            f"{path}: {key} names {', '.join(unknown)}, which is no field of an event; "
            f"the fields are {', '.join(EVENT_FIELDS)}"
        )
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(v) for v in value) if isinstance(value, list) else (_text(value),)


def _check_format(path: Path, name: str) -> None:
    if name in (ISO, UNIX_SECONDS, UNIX_MILLISECONDS):
        return
    try:
        if "%" not in name:
            raise ImportSourceError(f"{path}: timestamp_format {name!r} has no %")
        duckdb.connect().execute("SELECT try_strptime('', ?)", [name]).fetchall()
    except (duckdb.Error, ImportSourceError) as error:
        raise ImportSourceError(
            f"{path}: timestamp_format {name!r} is not understood; use {ISO}, {UNIX_SECONDS}, {UNIX_MILLISECONDS} "
            "or a strptime format such as '%d.%m.%Y %H:%M'"
        ) from error


def _translations(path: Path, value: Any) -> dict[str, dict[str, str | None]]:
    translations: dict[str, dict[str, str | None]] = {}
    for name, pairs in _mapping(path, "values", value).items():
        if not isinstance(pairs, dict):
            raise ImportSourceError(f"{path}: values.{name} must map the source's texts, one 'text: value' a line")
        translations[name] = {_text(k): _optional_text(v) for k, v in pairs.items()}
    wrong = [v for v in translations.get("event_type", {}).values() if v is not None and v not in EVENT_TYPES]
    if wrong:
        raise ImportSourceError(
            f"{path}: values.event_type gives {', '.join(sorted(set(wrong)))}, which is no event type; "
            f"the types are {', '.join(EVENT_TYPES)} (or null to leave such rows out)"
        )
    return translations


def _check_whole(path: Path, column_map: ColumnMap) -> None:
    mapped = column_map.fields
    if "occurred_at" not in column_map.columns:
        raise ImportSourceError(f"{path}: columns must say which column is occurred_at")
    if "event_type" not in mapped:
        raise ImportSourceError(f"{path}: event_type needs a column, or a constant such as purchase")
    if "visitor_id" not in mapped and "customer_id" not in mapped:
        raise ImportSourceError(f"{path}: columns must say which column is visitor_id or customer_id")
    fixed = {"event_id", "occurred_at", "received_at"} & (set(column_map.constants) | set(column_map.values))
    if fixed:
        raise ImportSourceError(f"{path}: {', '.join(sorted(fixed))} can only come from a column as it is")
    loose = set(column_map.values) - set(column_map.columns)
    if loose:
        raise ImportSourceError(f"{path}: values translates {', '.join(sorted(loose))}, but columns does not name it")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", column_map.source):
        raise ImportSourceError(f"{path}: source {column_map.source!r} must be lower-case letters, digits, - or _")
    if column_map.encoding not in (None, *ENCODINGS):
        raise ImportSourceError(f"{path}: encoding must be one of {', '.join(ENCODINGS)}")
    if column_map.delimiter is not None and len(column_map.delimiter) != 1:
        raise ImportSourceError(f"{path}: delimiter must be one character")


def read_column_map(path: Path) -> ColumnMap:
    """Read and check a column map; ``ImportSourceError`` names the file, the fault and what is allowed."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ImportSourceError(f"{path}: the column map cannot be read ({error}); see docs/importers.md") from error
    except yaml.YAMLError as error:
        raise ImportSourceError(f"{path}: the column map is no YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ImportSourceError(f"{path}: the column map must hold at least source and columns; see docs/importers.md")
    allowed = [f.name for f in fields(ColumnMap)]
    unknown = [str(key) for key in loaded if key not in allowed]
    if unknown:
        raise ImportSourceError(f"{path}: unknown settings {', '.join(unknown)}; there are {', '.join(allowed)}")
    absent = [key for key in ("source", "columns") if not loaded.get(key)]
    if absent:
        raise ImportSourceError(f"{path}: the column map lacks {' and '.join(absent)}; see docs/importers.md")
    column_map = ColumnMap(
        source=_text(loaded["source"]),
        columns={name: _text(column) for name, column in _mapping(path, "columns", loaded["columns"]).items()},
        constants={name: _text(v) for name, v in _mapping(path, "constants", loaded.get("constants")).items()},
        values=_translations(path, loaded.get("values")),
        timestamp_format=_texts(loaded.get("timestamp_format", ISO)),
        null_values=_texts(loaded.get("null_values", [])),
        delimiter=_optional_text(loaded.get("delimiter")),
        encoding=_optional_text(loaded.get("encoding")),
    )
    _check_whole(path, column_map)
    for name in column_map.timestamp_format:
        _check_format(path, name)
    return column_map
