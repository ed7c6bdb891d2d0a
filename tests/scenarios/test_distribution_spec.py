"""The server does what the OCI distribution-spec 1.1 requires for "Pull" and "Content Discovery", clause by clause.

Each clause is one row of a table: what it means, a request, and what the answer must have. The requests cross a real
connection. `test_respond` and `test_routes` test the same code in more ways.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.fake_nix_store import example
from tests.support.oci_schemas import check_oci_document
from tests.support.running_registry import RunningRegistry, run_registry
from tests.support.served_images import RegistryAnswer, StoreCatalog, open_files

from lamina.core.names import Digest
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE, Descriptor
from lamina.formats.referrers import AttachedDocument, Referrer
from lamina.server.images_on_demand import ImagesOnDemand

JSON = "application/json"
TAGS = ["Alpha", "beta", "latest", "v10", "v9"]
UNKNOWN = "sha256:" + "0" * 64
SHA512 = "sha512:" + "0" * 128
SBOM, SIGNATURE = "application/spdx+json", "application/vnd.example.signature"
# distribution-spec 1.1, "Error Codes".
CODES = {
    "BLOB_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
}


class Repositories(ImagesOnDemand):
    """Images, one of which has two referrers."""

    subject: Digest

    def list_referrers(self, repository: str, digest: Digest) -> list[Referrer]:
        if digest != self.subject:
            return []
        subject = Descriptor(MANIFEST_TYPE, digest, 5)
        documents = [AttachedDocument("sbom", kind, b"{}", "x.json") for kind in (SBOM, SIGNATURE)]
        return [document.refer_to(subject)[1] for document in documents]


@dataclass(frozen=True)
class Served:
    """A registry, and the digests of its image hello:latest."""

    registry: RunningRegistry
    manifest: str
    layer: str
    layer_size: int

    def fill(self, text: str) -> str:
        """Replace the placeholders of a path."""
        return text.format(manifest=self.manifest, layer=self.layer, unknown=UNKNOWN, sha512=SHA512)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store, _ = example(tmp_path_factory.mktemp("store") / "root")
    contents = {("hello", tag): ["hello"] for tag in TAGS} | {
        ("other", "latest"): ["words"],
        ("broken", "latest"): ["no-such-package"],
    }
    with open_files() as files:
        images = Repositories(StoreCatalog(store.root, contents, files), 2)
        with run_registry(images) as registry:
            answer = registry.get("/v2/hello/manifests/latest")
            manifest, layer = answer.headers["docker-content-digest"], json.loads(answer.body)["layers"][0]
            images.subject = Digest.parse_oci(manifest)
            yield Served(registry, manifest, layer["digest"], layer["size"])


Check = Callable[[RegistryAnswer, Served], bool]


@dataclass(frozen=True)
class Clause:
    """A requirement, and a request that shows whether it is met.

    Attributes:
        meaning: what the specification requires.
        request: the method and the path, with placeholders.
        status: the status of the answer.
        headers: headers of the answer with their values; None for one that must not be there.
        code: the code in the error document; empty for an answer that is no error.
        sent: headers of the request.
        check: what else must hold.
    """

    meaning: str
    request: str
    status: int
    headers: Mapping[str, str | None] = field(default_factory=dict)
    code: str = ""
    sent: Mapping[str, str] = field(default_factory=dict)
    check: Check = lambda answer, served: True

    def __str__(self) -> str:
        return self.meaning


def is_digest_of(answer: RegistryAnswer, digest: str) -> bool:
    return digest == f"sha256:{hashlib.sha256(answer.body).hexdigest()}"


def document(answer: RegistryAnswer) -> Any:
    return json.loads(answer.body)


def lists_tags(*tags: str) -> Check:
    return lambda answer, served: document(answer) == {"name": "hello", "tags": list(tags)}


def refers_to(*kinds: str) -> Check:
    def check(answer: RegistryAnswer, served: Served) -> bool:
        check_oci_document(INDEX_TYPE, document(answer))
        return [entry["artifactType"] for entry in document(answer)["manifests"]] == list(kinds)

    return check


PULL = [
    Clause("GET of the base says that this is a registry", "GET /v2/", 200),
    Clause("HEAD of the base has no body", "HEAD /v2/", 200, check=lambda answer, served: answer.body == b""),
    Clause(
        "A manifest is pulled by its tag, with its media type and without parameters of it, and its digest",
        "GET /v2/hello/manifests/latest",
        200,
        {"content-type": MANIFEST_TYPE},
        check=lambda answer, served: (
            document(answer)["mediaType"] == MANIFEST_TYPE
            and answer.headers["docker-content-digest"] == served.manifest
            and is_digest_of(answer, served.manifest)
        ),
    ),
    Clause(
        "A manifest is pulled by its digest, as the same bytes",
        "GET /v2/hello/manifests/{manifest}",
        200,
        {"content-type": MANIFEST_TYPE},
        check=lambda answer, served: is_digest_of(answer, served.manifest),
    ),
    Clause(
        "The type that a client accepts is no condition", "GET /v2/hello/manifests/latest", 200, sent={"accept": JSON}
    ),
    Clause("The parameter ns of proxies may be ignored", "GET /v2/hello/manifests/latest?ns=docker.io", 200),
    Clause("An unknown tag is not found", "GET /v2/hello/manifests/none", 404, code="MANIFEST_UNKNOWN"),
    Clause("An unknown digest is not found", "GET /v2/hello/manifests/{unknown}", 404, code="MANIFEST_UNKNOWN"),
    Clause(
        "A digest of another algorithm is not found",
        "GET /v2/hello/manifests/{sha512}",
        404,
        code="MANIFEST_UNKNOWN",
        check=lambda answer, served: b"None" not in answer.body,
    ),
    Clause(
        "A manifest of an unknown repository is not found",
        "GET /v2/none/manifests/latest",
        404,
        code="MANIFEST_UNKNOWN",
    ),
    Clause(
        "A reference is a tag or a digest and nothing else", "GET /v2/hello/manifests/-x", 404, code="MANIFEST_UNKNOWN"
    ),
    Clause("A name has no capitals", "GET /v2/Hello/manifests/latest", 404, code="NAME_INVALID"),
    Clause("A name may have several separators", "GET /v2/a__b/c---d.e/manifests/latest", 404, code="MANIFEST_UNKNOWN"),
    Clause(
        "A part of a name does not begin with a separator", "GET /v2/a/_b/manifests/latest", 404, code="NAME_INVALID"
    ),
    Clause(
        "A blob is pulled by its digest",
        "GET /v2/hello/blobs/{layer}",
        200,
        {"content-type": "application/octet-stream", "accept-ranges": "bytes"},
        check=lambda answer, served: (
            answer.headers["docker-content-digest"] == served.layer and is_digest_of(answer, served.layer)
        ),
    ),
    Clause("An unknown blob is not found", "GET /v2/hello/blobs/{unknown}", 404, code="BLOB_UNKNOWN"),
    Clause("A blob of another repository is not found", "GET /v2/other/blobs/{layer}", 404, code="BLOB_UNKNOWN"),
    Clause("A blob of an unknown repository is not found", "GET /v2/none/blobs/{layer}", 404, code="BLOB_UNKNOWN"),
    Clause(
        "A blob of an image that cannot be made is not found",
        "GET /v2/broken/blobs/{unknown}",
        404,
        code="BLOB_UNKNOWN",
    ),
    Clause("A digest that is none is not found", "GET /v2/hello/blobs/sha256:1", 404, code="DIGEST_INVALID"),
    Clause(
        "A part of a blob is sent if a range asks for it (RFC 9110)",
        "GET /v2/hello/blobs/{layer}",
        206,
        {"content-length": "4"},
        sent={"range": "bytes=2-5"},
        check=lambda answer, served: (
            answer.headers["content-range"] == f"bytes 2-5/{served.layer_size}" and len(answer.body) == 4
        ),
    ),
    Clause(
        "A pull that broke off goes on where it ended",
        "GET /v2/hello/blobs/{layer}",
        206,
        sent={"range": "bytes=10-"},
        check=lambda answer, served: len(answer.body) == served.layer_size - 10,
    ),
    Clause(
        "A range behind the end is refused with the size (RFC 9110)",
        "GET /v2/hello/blobs/{layer}",
        416,
        code="SIZE_INVALID",
        sent={"range": "bytes=999999999-"},
        check=lambda answer, served: answer.headers["content-range"] == f"bytes */{served.layer_size}",
    ),
    Clause(
        "HEAD of a manifest says that it exists, with its size and digest",
        "HEAD /v2/hello/manifests/latest",
        200,
        {"content-type": MANIFEST_TYPE},
        check=lambda answer, served: (
            answer.body == b""
            and answer.headers["docker-content-digest"] == served.manifest
            and answer.headers["content-length"]
            == served.registry.get("/v2/hello/manifests/v9").headers["content-length"]
        ),
    ),
    Clause("HEAD of a manifest works by digest too", "HEAD /v2/hello/manifests/{manifest}", 200),
    Clause(
        "HEAD of a blob says that it exists, with its size and digest",
        "HEAD /v2/hello/blobs/{layer}",
        200,
        check=lambda answer, served: (
            answer.body == b""
            and answer.headers["docker-content-digest"] == served.layer
            and answer.headers["content-length"] == str(served.layer_size)
        ),
    ),
    Clause("HEAD of an unknown tag is not found", "HEAD /v2/hello/manifests/none", 404),
    Clause("HEAD of an unknown manifest is not found", "HEAD /v2/hello/manifests/{unknown}", 404),
    Clause("HEAD of an unknown blob is not found", "HEAD /v2/hello/blobs/{unknown}", 404),
]
DISCOVERY = [
    Clause("Tags are listed in order", "GET /v2/hello/tags/list", 200, {"content-type": JSON}, check=lists_tags(*TAGS)),
    Clause(
        "n limits the tags, and a link leads to the next ones",
        "GET /v2/hello/tags/list?n=2",
        200,
        {"link": '</v2/hello/tags/list?n=2&last=beta>; rel="next"'},
        check=lists_tags("Alpha", "beta"),
    ),
    Clause(
        "last begins after a tag",
        "GET /v2/hello/tags/list?n=2&last=beta",
        200,
        {"link": '</v2/hello/tags/list?n=2&last=v10>; rel="next"'},
        check=lists_tags("latest", "v10"),
    ),
    Clause(
        "The last page has no link",
        "GET /v2/hello/tags/list?n=2&last=v10",
        200,
        {"link": None},
        check=lists_tags("v9"),
    ),
    Clause(
        "A page that ends with the last tag has no link",
        "GET /v2/hello/tags/list?n=5",
        200,
        {"link": None},
        check=lists_tags(*TAGS),
    ),
    Clause("last does not need n", "GET /v2/hello/tags/list?last=latest", 200, check=lists_tags("v10", "v9")),
    Clause("last is a tag and not a number", "GET /v2/hello/tags/list?last=3", 200, check=lists_tags(*TAGS)),
    Clause("n of 0 gives no tags and no link", "GET /v2/hello/tags/list?n=0", 200, {"link": None}, check=lists_tags()),
    Clause(
        "HEAD of the tags has no body", "HEAD /v2/hello/tags/list", 200, check=lambda answer, served: not answer.body
    ),
    Clause("The tags of an unknown repository are not found", "GET /v2/none/tags/list", 404, code="NAME_UNKNOWN"),
    Clause(
        "Referrers are an index of the manifests that have this one as their subject",
        "GET /v2/hello/referrers/{manifest}",
        200,
        {"content-type": INDEX_TYPE, "oci-filters-applied": None},
        check=refers_to(SBOM, SIGNATURE),
    ),
    Clause(
        "Referrers are filtered by the type of their artifact, and a header says so",
        f"GET /v2/hello/referrers/{{manifest}}?artifactType={SIGNATURE}",
        200,
        {"content-type": INDEX_TYPE, "oci-filters-applied": "artifactType"},
        check=refers_to(SIGNATURE),
    ),
    Clause(
        "A filter that nothing matches gives an empty index",
        "GET /v2/hello/referrers/{manifest}?artifactType=x",
        200,
        {"oci-filters-applied": "artifactType"},
        check=refers_to(),
    ),
    Clause(
        "An unknown subject has an empty index",
        "GET /v2/hello/referrers/{unknown}",
        200,
        {"content-type": INDEX_TYPE},
        check=refers_to(),
    ),
    Clause(
        "A subject of another algorithm has an empty index", "GET /v2/hello/referrers/{sha512}", 200, check=refers_to()
    ),
    Clause("Referrers are never not found, even in an unknown repository", "GET /v2/none/referrers/{unknown}", 200),
    Clause("A subject that is no digest is a bad request", "GET /v2/hello/referrers/x", 400, code="DIGEST_INVALID"),
    Clause(
        "A subject that is a short digest is a bad request",
        "GET /v2/hello/referrers/sha256:0",
        400,
        code="DIGEST_INVALID",
    ),
    Clause(
        "An invalid name is a bad request for referrers", "GET /v2/Hello/referrers/{unknown}", 400, code="NAME_INVALID"
    ),
]
READ_ONLY = [
    Clause(
        "Deletion that is disabled is not allowed, by tag", "DELETE /v2/hello/manifests/latest", 405, code="UNSUPPORTED"
    ),
    Clause("… by digest", "DELETE /v2/hello/manifests/{manifest}", 405, code="UNSUPPORTED"),
    Clause("… and for blobs", "DELETE /v2/hello/blobs/{layer}", 405, code="UNSUPPORTED"),
    Clause("Manifests cannot be pushed", "PUT /v2/hello/manifests/latest", 405, code="UNSUPPORTED"),
    Clause("Uploads cannot be begun", "POST /v2/hello/blobs/uploads/", 405, code="UNSUPPORTED"),
    Clause("Uploads cannot go on", "PATCH /v2/hello/blobs/uploads/1", 405, code="UNSUPPORTED"),
    Clause("Blobs cannot be mounted", "POST /v2/hello/blobs/uploads/?mount={layer}&from=x", 405, code="UNSUPPORTED"),
]


@pytest.mark.parametrize("clause", [*PULL, *DISCOVERY, *READ_ONLY], ids=str)
def test_a_clause_of_the_specification(served: Served, clause: Clause) -> None:
    method, _, path = served.fill(clause.request).partition(" ")
    answer = served.registry.get(path, method, **clause.sent)
    assert answer.status == clause.status
    assert {name: answer.headers.get(name) for name in clause.headers} == clause.headers
    assert clause.check(answer, served)
    if method != "HEAD":
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert (answer.status >= 400) == bool(clause.code)
    if clause.code:
        # "Error Codes": a document with a list of errors, each with a code and a message for people.
        assert answer.headers["content-type"] == JSON
        (error,) = document(answer)["errors"]
        assert (error["code"], bool(error["message"])) == (clause.code, True)
        assert clause.code in CODES


def test_pages_of_tags_are_complete_for_every_size(served: Served) -> None:
    for size in range(1, len(TAGS) + 2):
        path, found = f"/v2/hello/tags/list?n={size}", []
        while path:
            answer = served.registry.get(path)
            page = document(answer)["tags"]
            assert len(page) == size or "link" not in answer.headers
            found += page
            path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
        assert found == TAGS
