"""Software bills of materials: one for tests, and functions that check documents and parse them with other libraries.

The schemas are files of cyclonedx-python-lib and spdx-tools, so nothing is downloaded.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.model.document import Document
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from tests.support.factories import info, path

from lamina.formats.bill_of_materials import BillOfMaterials, SoftwareComponent, SoftwareSubject
from lamina.formats.narinfo import NarInfo

_WEIRD = NarInfo(
    info("glibc-2.40-weird", ["glibc-2.40", "gone", "glibc-2.40-weird"]),
    "",
    "none",
    ("k:s",),
    deriver=path("glibc-2.40.drv").base,
)
# An output that only its derivation tells, and a path that no store knows.
COMPONENTS = (
    SoftwareComponent(path("glibc-2.40-weird"), _WEIRD),
    SoftwareComponent(path("glibc-2.40"), None),
)
BILL = BillOfMaterials(
    SoftwareSubject("closure", "glibc", "2.40"),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    COMPONENTS,
    (path("glibc-2.40-weird"),),
)


def read_cyclonedx(document: bytes) -> Bom:
    """Return the bill of materials in a valid CycloneDX 1.6 document, as cyclonedx-python-lib reads it."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()) is None
    bom: Bom = Bom.from_json(json.loads(document))  # type: ignore[attr-defined] # a decorator of the library adds it
    assert bom.validate()
    return bom


def read_spdx(document: bytes) -> Document:
    """Return the document in valid SPDX 2.3, as spdx-tools reads it."""
    parsed = JsonLikeDictParser().parse(json.loads(document))  # type: ignore[no-untyped-call] # the class is not typed
    assert validate_full_spdx_document(parsed, "SPDX-2.3") == []
    return parsed


def list_properties(component: Any) -> dict[str, list[str]]:
    """Return the values of the properties of a CycloneDX component, by name."""
    found: dict[str, list[str]] = {}
    for item in component.properties:
        found.setdefault(item.name, []).append(item.value)
    return found
