"""The library of the in-toto project reads the statements, whatever is in them."""

from tests.support.factories import info, path
from tests.support.provenance import list_materials, read_statement

from lamina.core.names import Digest
from lamina.formats.narinfo import NarInfo
from lamina.formats.provenance import BaseMaterial, SignedMaterial, dump_statement
from lamina.formats.registry_references import RegistryReference
from lamina.version import __version__

DIGEST = Digest(b"\1" * 32)
SIGNED = NarInfo(
    info("glibc-2.40-dev"),
    "",
    "none",
    ("good-1:c2ln", "other-1:c2ln"),
    deriver=path("glibc-2.40.drv").base,
    address="fixed:r:sha256:x",
)


def test_the_subject_and_the_builder_are_named() -> None:
    document = dump_statement(["host/a", "host/b"], DIGEST, {"contents": ["x"]}, ())
    statement = read_statement(document)
    assert statement["subject"] == [{"name": name, "digest": {"sha256": "01" * 32}} for name in ("host/a", "host/b")]
    builder = statement["predicate"]["runDetails"]["builder"]
    assert builder == {"id": f"pkg:generic/lamina@{__version__}", "version": {"lamina": __version__}}
    assert "metadata" not in statement["predicate"]["runDetails"]
    assert dump_statement(["host/a", "host/b"], DIGEST, {"contents": ["x"]}, ()) == document


def test_a_store_path_has_the_digest_of_its_nar_and_the_names_of_the_keys() -> None:
    materials = [SignedMaterial(SIGNED, ("good-1",)), SignedMaterial(NarInfo(info("a"), "", "none", ()), ())]
    signed, bare = list_materials(read_statement(dump_statement(["x"], DIGEST, {}, materials))).values()
    assert signed["name"] == str(path("glibc-2.40-dev"))
    assert signed["uri"] == f"pkg:nix/glibc@2.40?output=dev&outputhash={path('glibc-2.40-dev').hash}"
    assert (signed["digest"], signed["mediaType"]) == ({"sha256": SIGNED.info.nar_hash.hex}, "application/x-nix-nar")
    assert signed["annotations"] == {
        "narSize": SIGNED.info.nar_size,
        "signedBy": ["good-1"],
        "unverifiedKeys": ["other-1"],
        "contentAddress": "fixed:r:sha256:x",
    }
    assert bare["annotations"] == {"narSize": info("a").nar_size, "signedBy": []}


def test_a_base_image_has_a_package_url_if_it_is_in_a_registry() -> None:
    reference = RegistryReference.parse("debian:12")
    bases = [BaseMaterial("docker.io/library/debian:12", DIGEST, "a/b", reference), BaseMaterial("", DIGEST, "c/d")]
    dumped = read_statement(dump_statement(["x"], DIGEST, {}, bases))
    in_registry, in_file = dumped["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert in_registry == {
        "name": "docker.io/library/debian:12",
        "uri": f"pkg:oci/debian@sha256:{'01' * 32}?repository_url=docker.io/library/debian&tag=12",
        "digest": {"sha256": "01" * 32},
        "mediaType": "a/b",
    }
    assert in_file == {"digest": {"sha256": "01" * 32}, "mediaType": "c/d"}
