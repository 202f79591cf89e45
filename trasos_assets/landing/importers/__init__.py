"""Importers: public data sets and any CSV of events, written in the landing format."""

from __future__ import annotations

from pathlib import Path

from trasos_assets.landing.importers import events_csv, online_retail
from trasos_assets.landing.importers.model import Importer, ImportReport, ImportRequest, ImportSourceError
from trasos_assets.landing.writer import Progress

IMPORTERS: dict[str, Importer] = {importer.name: importer for importer in (online_retail.IMPORTER, events_csv.IMPORTER)}


def import_data(
    name: str,
    src: Path,
    out: Path,
    *,
    timezone: str = "UTC",
    column_map: Path | None = None,
    currency: str | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Read ``src`` with the importer ``name`` and write landing files below ``out``.

    ``timezone`` (IANA) is where times without an offset are read; ``column_map`` is the YAML file of ``events-csv``;
    ``currency`` is that of prices whose source names none (``online-retail`` is in GBP by itself). The same source
    gives the same bytes; files are replaced whole, so a second run changes nothing. Raises ``ImportSourceError`` with
    the path and the fix.
    """
    importer = IMPORTERS.get(name)
    if importer is None:
        raise ImportSourceError(f"there is no importer {name!r}; there are {', '.join(IMPORTERS)}")
    if column_map is not None and not importer.needs_map:
        raise ImportSourceError(f"{name} knows its columns and takes no column map; leave --map out")
    if out.exists() and not out.is_dir():
        raise ImportSourceError(f"{out} is a file; --out must name the landing folder")
    return importer.run(ImportRequest(src, out, timezone, column_map, currency, progress))


__all__ = ["IMPORTERS", "ImportReport", "ImportRequest", "ImportSourceError", "Importer", "import_data"]
