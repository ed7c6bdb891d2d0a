"""JSON Schemas of the documents of an image, written after the text of the specifications.

OCI image-spec 1.1: "Content Descriptors", "Image Manifest", "Image Index", "Image Layout", "Image Configuration" and
"Annotations". Docker: "Image Manifest Version 2, Schema 2", with "Manifest List". They are stricter than the
specifications: no key is allowed that these do not define, but for keys of the container config that docker added.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema

_OCI, _DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_NAME_SET = {"type": "object", "additionalProperties": {"type": "object", "maxProperties": 0}}
_DATE = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
_DIGEST = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"}
_SIZE = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
# RFC 6838, 4.2: a type and a subtype of restricted names.
_RESTRICTED_NAME = "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = {"type": "string", "pattern": f"^{_RESTRICTED_NAME}/{_RESTRICTED_NAME}$"}
_ANNOTATIONS = {
    "type": "object",
    "propertyNames": {"minLength": 1},
    "additionalProperties": _TEXT,
    "properties": {
        "org.opencontainers.image.created": _DATE,
        "org.opencontainers.image.base.digest": _DIGEST,
        "org.opencontainers.image.ref.name": {
            "type": "string",
            "pattern": "^[A-Za-z0-9]+([-._:@/+]|--)?([A-Za-z0-9]+([-._:@/+]|--)?)*[A-Za-z0-9]*$",
        },
    },
}


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """Return the schema of an object without other keys."""
    named = {name.replace("__", "."): value for name, value in properties.items()}
    return {"type": "object", "required": required, "properties": named, "additionalProperties": False}


def _descriptor(media_type: dict[str, Any], **more: Any) -> dict[str, Any]:
    return _closed(
        ["mediaType", "digest", "size"],
        mediaType=media_type,
        digest=_DIGEST,
        size=_SIZE,
        urls=_TEXTS,
        annotations=_ANNOTATIONS,
        data=_TEXT,
        artifactType=_MEDIA_TYPE,
        **more,
    )


_PLATFORM = _closed(
    ["architecture", "os"],
    architecture=_TEXT,
    os=_TEXT,
    os__version=_TEXT,
    os__features=_TEXTS,
    variant=_TEXT,
    features=_TEXTS,
)
_LAYER_TYPES = [f"{_OCI}layer.v1.tar{ending}" for ending in ("", "+gzip", "+zstd")]
_SCHEMAS: dict[str, dict[str, Any]] = {
    f"{_OCI}manifest.v1+json": _closed(
        ["schemaVersion", "config", "layers"],
        schemaVersion={"const": 2},
        mediaType={"const": f"{_OCI}manifest.v1+json"},
        artifactType=_MEDIA_TYPE,
        config=_descriptor({"const": f"{_OCI}config.v1+json"}),
        layers={"type": "array", "minItems": 1, "items": _descriptor({"enum": _LAYER_TYPES})},
        subject=_descriptor(_MEDIA_TYPE),
        annotations=_ANNOTATIONS,
    ),
    f"{_OCI}index.v1+json": _closed(
        ["schemaVersion", "manifests"],
        schemaVersion={"const": 2},
        mediaType={"const": f"{_OCI}index.v1+json"},
        artifactType=_MEDIA_TYPE,
        manifests={"type": "array", "items": _descriptor(_MEDIA_TYPE, platform=_PLATFORM)},
        subject=_descriptor(_MEDIA_TYPE),
        annotations=_ANNOTATIONS,
    ),
    f"{_OCI}config.v1+json": _closed(
        ["architecture", "os", "rootfs"],
        created=_DATE,
        author=_TEXT,
        architecture=_TEXT,
        os=_TEXT,
        os__version=_TEXT,
        os__features=_TEXTS,
        variant=_TEXT,
        config={
            "type": "object",
            "properties": {
                "User": _TEXT,
                "ExposedPorts": _NAME_SET,
                "Env": {"type": "array", "items": {"type": "string", "pattern": "^[^=]+="}},
                "Entrypoint": _TEXTS,
                "Cmd": _TEXTS,
                "Volumes": _NAME_SET,
                "WorkingDir": _TEXT,
                "Labels": _ANNOTATIONS,
                "StopSignal": _TEXT,
                "ArgsEscaped": {"type": "boolean"},
            },
        },
        rootfs=_closed(
            ["type", "diff_ids"], type={"const": "layers"}, diff_ids={"type": "array", "minItems": 1, "items": _DIGEST}
        ),
        history={
            "type": "array",
            "items": _closed(
                [], created=_DATE, author=_TEXT, created_by=_TEXT, comment=_TEXT, empty_layer={"type": "boolean"}
            ),
        },
    ),
    "oci-layout": {
        "type": "object",
        "required": ["imageLayoutVersion"],
        "properties": {"imageLayoutVersion": {"const": "1.0.0"}},
    },
    f"{_DOCKER}distribution.manifest.v2+json": _closed(
        ["schemaVersion", "mediaType", "config", "layers"],
        schemaVersion={"const": 2},
        mediaType={"const": f"{_DOCKER}distribution.manifest.v2+json"},
        config=_closed(
            ["mediaType", "digest", "size"],
            mediaType={"const": f"{_DOCKER}container.image.v1+json"},
            digest=_DIGEST,
            size=_SIZE,
        ),
        layers={
            "type": "array",
            "minItems": 1,
            "items": _closed(
                ["mediaType", "digest", "size"],
                mediaType={"enum": [f"{_DOCKER}image.rootfs.diff.tar{ending}" for ending in ("", ".gzip")]},
                digest=_DIGEST,
                size=_SIZE,
                urls=_TEXTS,
            ),
        },
    ),
    f"{_DOCKER}distribution.manifest.list.v2+json": _closed(
        ["schemaVersion", "mediaType", "manifests"],
        schemaVersion={"const": 2},
        mediaType={"const": f"{_DOCKER}distribution.manifest.list.v2+json"},
        manifests={
            "type": "array",
            "items": _closed(
                ["mediaType", "digest", "size", "platform"],
                mediaType={"const": f"{_DOCKER}distribution.manifest.v2+json"},
                digest=_DIGEST,
                size=_SIZE,
                platform=_PLATFORM,
            ),
        },
    ),
}
# An image's manifest whose config is empty, and whose layers are files of any type ("Guidelines for Artifact Usage").
_ARTIFACT = _closed(
    ["schemaVersion", "mediaType", "artifactType", "config", "layers"],
    schemaVersion={"const": 2},
    mediaType={"const": f"{_OCI}manifest.v1+json"},
    artifactType=_MEDIA_TYPE,
    config=_descriptor({"const": "application/vnd.oci.empty.v1+json"}),
    layers={"type": "array", "minItems": 1, "items": _descriptor(_MEDIA_TYPE)},
    subject=_descriptor(_MEDIA_TYPE),
    annotations=_ANNOTATIONS,
)
# Docker's name for the same document.
_SCHEMAS[f"{_DOCKER}container.image.v1+json"] = _SCHEMAS[f"{_OCI}config.v1+json"]


def check_oci_document(kind: str, document: Any) -> None:
    """Check a document of the media type ``kind``, or the file ``oci-layout``; raise jsonschema's error."""
    _make_validator(kind).validate(document)


def check_artifact(document: Any) -> None:
    """Check the manifest of an artifact; raise jsonschema's error."""
    jsonschema.Draft202012Validator(_ARTIFACT).validate(document)


@cache
def _make_validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_SCHEMAS[kind])
