"""The proof of an erasure: what was visited and removed, and what the final scan saw. It holds no id of anybody."""

from __future__ import annotations

import html
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from trasos_assets.erasure.scan import Scan
from trasos_assets.places import make_folder

FOLDER = "erasure"
HASH_DIGITS = 12


@dataclass
class Proof:
    """One erasure from beginning to end.

    ``persons`` are beginnings of keyed hashes of the names that were given: whoever has the lake's key can tell whether
    somebody is among them, nobody else can.
    """

    erasure: str
    started_at: datetime
    ended_at: datetime
    reason: str | None
    persons: list[str]
    ids: int
    shared_visitors: int
    leading_ids: int
    tables: dict[str, int] = field(default_factory=dict)
    landed_files: dict[str, int] = field(default_factory=dict)
    unreadable_files: dict[str, str] = field(default_factory=dict)
    days_built_again: int = 0
    scrubbed: dict[str, int] = field(default_factory=dict)
    kept_totals: int = 0
    scan: Scan = field(default_factory=Scan)

    @property
    def success(self) -> bool:
        """Whether nothing of the people was found any more."""
        return self.scan.clean

    def told(self) -> dict[str, Any]:
        """As JSON can hold it."""
        told = asdict(self)
        told |= {"started_at": self.started_at.isoformat(), "ended_at": self.ended_at.isoformat()}
        return told | {"success": self.success}

    def sentences(self) -> list[str]:
        """What a person wants to read first."""
        rows = ", ".join(f"{name} {count:,}" for name, count in sorted(self.tables.items())) or "none"
        found = (
            "the final scan found nothing"
            if self.scan.clean
            else f"the final scan found ids in {len(self.scan.found)} files: {', '.join(sorted(self.scan.found)[:20])}"
        )
        lines = [
            f"{len(self.persons)} people with {self.ids} ids, {self.leading_ids} ids of sessions, orders and requests",
            f"rows removed: {rows}",
            f"landed files rewritten: {len(self.landed_files):,}; days built again: {self.days_built_again:,}; "
            f"databases and texts cleaned: {len(self.scrubbed):,}",
            f"{found} ({self.scan.files:,} files, {self.scan.bytes:,} bytes unpacked)",
        ]
        if self.shared_visitors:
            lines.append(
                f"{self.shared_visitors} of their visitors are used by others too: their own events went, the visitor "
                "ids stay with the others"
            )
        if self.unreadable_files:
            lines.append(f"{len(self.unreadable_files)} landed files could not be read, and stay as they are")
        if self.scan.undecoded:
            lines.append(f"{len(self.scan.undecoded)} files could not be unpacked and were looked at as bytes")
        return lines


def write_proof(proof: Proof, reports: Path) -> Path:
    """Write the proof as JSON and as a page; returns the JSON file."""
    folder = reports / FOLDER
    make_folder(folder)
    file = folder / f"{proof.erasure}.json"
    file.write_text(json.dumps(proof.told(), indent=1))
    (folder / f"{proof.erasure}.html").write_text(_page(proof))
    return file


def _page(proof: Proof) -> str:
    def table(title: str, heads: tuple[str, str], rows: dict[str, Any]) -> str:
        if not rows:
            return ""
        cells = "".join(
            f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>"
            for name, value in sorted(rows.items())
        )
        return (
            f"<h2>{title}</h2><table><thead><tr><th>{heads[0]}</th><th>{heads[1]}</th></tr></thead>"
            f"<tbody>{cells}</tbody></table>"
        )

    sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in proof.sentences())
    about = {
        "begun": f"{proof.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "ended": f"{proof.ended_at:%Y-%m-%d %H:%M:%S} UTC",
        "reason": proof.reason or "none given",
        "people (hashed)": ", ".join(proof.persons),
        "KPI cells kept": proof.kept_totals,
    }
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width, initial-scale=1'>"
        f"<title>Proof of erasure {proof.erasure}</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 "
        "system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
        "td,th{text-align:left;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #8886;overflow-wrap:anywhere}"
        "</style></head><body>"
        f"<h1>Proof of erasure {proof.erasure}: {'nothing left' if proof.success else 'NOT COMPLETE'}</h1>"
        f"<ul>{sentences}</ul>"
        + table("Erasure", ("what", ""), about)
        + table("Rows removed", ("table", "rows"), proof.tables)
        + table("Landed files rewritten", ("file", "lines"), proof.landed_files)
        + table("Landed files that could not be read", ("file", "why"), proof.unreadable_files)
        + table("Databases and texts cleaned", ("file", "rows"), proof.scrubbed)
        + table("Files in which the scan found ids", ("file", "ids"), proof.scan.found)
        + table("Files looked at as bytes only", ("file", "why"), proof.scan.undecoded)
        + table("Files scanned, by what they are", ("kind", "files"), dict(proof.scan.kinds))
        + "</body></html>"
    )
