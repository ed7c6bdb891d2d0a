"""Statements about provenance, as the library of the in-toto project reads them."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage


def read_statement(document: bytes) -> dict[str, Any]:
    """Return a statement with SLSA provenance; the library raises an error for an unknown, wrong or missing field."""
    parsed: dict[str, Any] = json.loads(document)
    statement = Statement.copy_from_pb(ParseDict(parsed, StatementMessage()))
    statement.validate()
    assert statement.pb.predicate_type == "https://slsa.dev/provenance/v1"
    provenance = ParseDict(parsed["predicate"], Provenance())
    for material in provenance.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(material).validate()
    assert provenance.build_definition.build_type
    assert provenance.run_details.builder.id
    return parsed


def list_materials(statement: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the materials of a statement by name."""
    return {item["name"]: item for item in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}


def get_parameters(statement: dict[str, Any]) -> dict[str, Any]:
    """Return what the user asked for."""
    parameters: dict[str, Any] = statement["predicate"]["buildDefinition"]["externalParameters"]
    return parameters
