"""Make the histories in bench/histories from the changelogs of Debian's packages on this machine.

    python -m bench.reuse.make_histories

A changelog has the date of each upload of a package. The uploads of a week are one update of the closure
``build-tools``, whose paths are the packages of this machine. There are two histories: of the time before Debian 12
was released, in which every new version was taken, and of the time after it, with corrections only.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path

from bench.reuse.closures import FOLDER, HISTORIES, Row, parse

CLOSURE = "build-tools"
PERIODS = {"rolling": (date(2021, 9, 1), date(2023, 2, 1)), "stable": (date(2023, 7, 1), date(2026, 11, 1))}
_DOCS = Path("/usr/share/doc")


def main() -> None:
    """Write a file for each period."""
    rows = parse((FOLDER / f"{CLOSURE}.json").read_text())
    uploads = {number: set(_read_dates(_find_package(row))) for number, row in enumerate(rows)}
    HISTORIES.mkdir(exist_ok=True)
    for name, (first, last) in PERIODS.items():
        updates: dict[str, list[int]] = {}
        for number, dates in uploads.items():
            for week in {f"{day:%G-W%V}" for day in dates if first <= day < last}:
                updates.setdefault(week, []).append(number)
        made = f"uploads to Debian from {first} to {last}, by week, as the changelogs on a Debian 12 list them"
        lines = [json.dumps([week, sorted(updates[week])], separators=(",", ":")) for week in sorted(updates)]
        text = f'{{"made": "{made}", "closure": "{CLOSURE}", "updates": [\n' + ",\n".join(lines) + "\n]}\n"
        (HISTORIES / f"{name}.json").write_text(text)
        print(f"{name}: {len(updates)} weeks, {sum(map(len, updates.values()))} changes of paths")


def _find_package(row: Row) -> str:
    """Return the longest beginning of the name that is a package of this machine; empty if there is none."""
    parts = row.name.split("-")
    names = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if any(_changelogs(name))), "")


def _changelogs(package: str) -> Iterator[Path]:
    return _DOCS.glob(f"{package}/changelog.Debian.gz")


def _read_dates(package: str) -> Iterator[date]:
    for file in _changelogs(package) if package else ():
        for line in gzip.decompress(file.read_bytes()).decode("utf-8", "replace").splitlines():
            if line.startswith(" -- ") and ">" in line:
                try:
                    yield parsedate_to_datetime(line.rpartition(">")[2].strip()).date()
                except ValueError:
                    continue


if __name__ == "__main__":
    main()
