"""Bills of materials as SPDX 2.3 JSON (https://spdx.github.io/spdx-spec/v2.3/).

Each store path is a package without analysed files. Its checksum is the SHA-256 of its NAR, as in
`lamina.formats.cyclonedx`; the document says so in a comment. Licences, which a store does not know, are left out, and
the download location, which SPDX requires, is ``NOASSERTION``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lamina.core.names import StorePath
from lamina.formats.bill_of_materials import TOOL, BillOfMaterials, SoftwareComponent, SoftwareSubject
from lamina.formats.package_urls import make_package_url
from lamina.version import __version__

MEDIA_TYPE = "application/spdx+json"
_DOCUMENT_ID = "SPDXRef-DOCUMENT"
_SUBJECT_ID = "SPDXRef-Subject"
_PURPOSES = {"image": "CONTAINER", "closure": "APPLICATION"}
_COMMENT = "The checksum of a package is the SHA-256 of the Nix archive (NAR) of its store path."
# The characters that an identifier may not have (SPDX 2.3, 3.2: letters, digits, dot and dash).
_UNSAFE = re.compile("[^A-Za-z0-9.-]")
_INDENT = 2


def dump(bill: BillOfMaterials) -> bytes:
    """Return the document of ``bill``."""
    subject = bill.subject
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT_ID,
        "name": "-".join(filter(None, (subject.name, subject.version))),
        # The part before the UUID is what SPDX proposes for documents that are not on the web (SPDX 2.3, 6.5).
        "documentNamespace": f"https://spdx.org/spdxdocs/{TOOL}-{bill.serial_number}",
        "creationInfo": {
            "created": bill.timestamp,
            "creators": [f"Tool: {TOOL}-{__version__}"],
            "comment": _COMMENT,
        },
        "packages": [_make_subject(subject), *map(_make_package, bill.components)],
        "relationships": list(_list_relationships(bill)),
    }
    return f"{json.dumps(document, indent=_INDENT)}\n".encode()


def _make_subject(subject: SoftwareSubject) -> dict[str, Any]:
    package = _start_package(_SUBJECT_ID, subject.name, subject.version)
    package["primaryPackagePurpose"] = _PURPOSES[subject.kind]
    if subject.image_id:
        package["comment"] = f"image ID: {subject.image_id}"
    return package


def _make_package(component: SoftwareComponent) -> dict[str, Any]:
    package = _start_package(_make_id(component.path), component.package.name, component.package.version)
    if component.narinfo:
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": component.narinfo.info.nar_hash.hex}]
    package["externalRefs"] = [
        _make_reference("PACKAGE-MANAGER", "purl", make_package_url(component).to_string()),
        _make_reference("OTHER", "nix-store-path", str(component.path)),
    ]
    return package


def _start_package(identifier: str, name: str, version: str) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        **({"versionInfo": version} if version else {}),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
    }


def _make_reference(category: str, kind: str, locator: str) -> dict[str, str]:
    return {"referenceCategory": category, "referenceType": kind, "referenceLocator": locator}


def _make_id(path: StorePath) -> str:
    """Return the identifier of a store path, which is unique because the hash is."""
    return f"SPDXRef-{_UNSAFE.sub('-', path.base)}"


def _list_relationships(bill: BillOfMaterials) -> Iterator[dict[str, str]]:
    yield _relate(_DOCUMENT_ID, "DESCRIBES", _SUBJECT_ID)
    for path in bill.roots:
        yield _relate(_SUBJECT_ID, "DEPENDS_ON", _make_id(path))
    for path, references in bill.dependencies.items():
        for reference in references:
            yield _relate(_make_id(path), "DEPENDS_ON", _make_id(reference))


def _relate(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}
