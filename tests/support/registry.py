"""An image registry in memory for tests, which follows OCI's distribution protocol unless a test scripts a fault.

Invariant: it stores a manifest only if all its blobs are there, and a blob only if its bytes have its digest.
"""

from __future__ import annotations

import base64
import http.server
import io
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest
from tests.support.image_files import LayoutBuilder
from tests.support.servers import LocalServer, run_server

from lamina.core.names import Digest
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE
from lamina.formats.registry_references import RegistryReference
from lamina.registry.connection import RegistryConnection
from lamina.registry.credentials import Credentials
from lamina.transports.retry import RetryPolicy, use_policy

QUICK = RetryPolicy(connect_timeout=5, read_timeout=5, sleep=lambda seconds: None)
"""A policy that does not pause between attempts."""

_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_START = re.compile(r"/v2/(.+)/blobs/uploads/?")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/(u[0-9]+)")
_TAGS = re.compile(r"/v2/(.+)/tags/list")
_REFERRERS = re.compile(r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})")
# The media type of a document by a key that only it has.
_DOCUMENTS = {"layers": MANIFEST_TYPE, "manifests": INDEX_TYPE}
_SCOPE = re.compile(r"repository:([^:]+):([a-z,]+)")


def digest_of(data: bytes) -> Digest:
    return Digest(sha256(data).digest())


@dataclass(frozen=True)
class RegistryRequestSeen:
    """One request, as it was received; ``size`` is the length of its body."""

    method: str
    path: str
    authorization: str
    size: int

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Fault = Callable[["RegistryHandler"], bool]
"""Answers a request instead of the registry, and returns whether it did."""


@dataclass
class Account:
    """The user who may log in, with a password or an identity token."""

    user: str = "user"
    password: str = "hunter2/pass"
    identity: str = "identity-hunter2"


class MemoryRegistry(LocalServer):
    """A registry; its attributes switch what it can do."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(RegistryHandler)
        self.tls = tls
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.seen: list[RegistryRequestSeen] = []
        self.faults: list[Fault] = []
        self.account = Account()
        self.authentication = ""  # "", "basic" or "token"
        self.realm = f"{self.url}/token"
        self.is_public = False  # a token without an account may pull
        self.token_lifetime = 300
        self.tokens: dict[str, tuple[str, ...]] = {}
        self.can_mount = True
        self.has_referrers = True
        self.filters_referrers = True
        self.sends_ranges = True
        self.min_chunk = 0
        self.refuses_whole_blobs = 0  # a status
        self.states_wrong_digests = False
        self.lock = threading.RLock()
        self._count = 0

    # --- for tests

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def reference(self, name: str = "me/app:1") -> RegistryReference:
        return RegistryReference.parse(f"{self.host}/{name}")

    def add_blob(self, repository: str, data: bytes) -> Digest:
        digest = digest_of(data)
        self.blobs.setdefault(repository, {})[str(digest)] = data
        return digest

    def add_manifest(self, repository: str, target: str, document: bytes, media_type: str) -> Digest:
        digest = digest_of(document)
        stored = self.manifests.setdefault(repository, {})
        stored[target] = stored[str(digest)] = media_type, document
        return digest

    def expire_tokens(self) -> None:
        self.tokens.clear()

    def methods(self) -> list[str]:
        return [request.method for request in self.seen]

    def fail(self, method: str, path: str, fault: Fault, times: int = 1, after: int = 0) -> None:
        """Apply ``fault`` to so many requests of ``method`` whose path has the pattern, after the first ``after``."""
        remaining = [after, times]

        def apply(handler: RegistryHandler) -> bool:
            if handler.command != method or not re.search(path, handler.path):
                return False
            with self.lock:
                if remaining[0]:
                    remaining[0] -= 1
                    return False
                if not remaining[1]:
                    return False
                remaining[1] -= 1
            return fault(handler)

        self.faults.append(apply)

    # --- for the handler

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.tls is None:
            return connection, address
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def next_number(self) -> int:
        with self.lock:
            self._count += 1
            return self._count


class RegistryHandler(http.server.BaseHTTPRequestHandler):
    """Requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: MemoryRegistry

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> bool:
        """Send a whole response."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    def refuse(self, status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> bool:
        """Send an error document."""
        body = json.dumps({"errors": [{"code": code, "message": message or code.lower()}]}).encode()
        return self.answer(status, {"Content-Type": "application/json", **(headers or {})}, body)

    def cut(self) -> bool:
        """Close the connection without an answer."""
        self.close_connection = True
        return True

    def read_body(self) -> bytes:
        size = int(self.headers.get("Content-Length", 0))
        data = bytearray()
        while len(data) < size:
            piece = self.rfile.read1(min(size - len(data), 1 << 16))
            if not piece:
                raise ConnectionResetError
            data += piece
        return bytes(data)

    # --- the protocol

    def _handle(self) -> None:
        server = self.server
        authorization = self.headers.get("Authorization", "")
        size = int(self.headers.get("Content-Length", 0))
        with server.lock:
            server.seen.append(RegistryRequestSeen(self.command, self.path, authorization, size))
        for fault in list(server.faults):
            if fault(self):
                return
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        body = self.read_body()
        if parts.path == "/token":
            self._issue_token(query if self.command == "GET" else parse_qs(body.decode()), authorization)
            return
        needed = self._needed_scopes(parts.path, query)
        if not self._is_allowed(authorization, needed):
            self._challenge(needed)
            return
        self._route(parts.path, query, body)

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> bool:
        if path == "/v2/":
            return self.answer(200, {}, b"{}")
        routes: list[tuple[re.Pattern[str], Callable[..., bool]]] = [
            (_UPLOAD, lambda name, session: self._continue_upload(name, session, query, body)),
            (_START, lambda name: self._start_upload(name, query)),
            (_BLOB, self._send_blob),
            (_MANIFEST, lambda name, target: self._exchange_manifest(name, target, body)),
            (_TAGS, lambda name: self._list_tags(name, query)),
            (_REFERRERS, lambda name, digest: self._list_referrers(name, digest, query)),
        ]
        for pattern, route in routes:
            if found := pattern.fullmatch(path):
                return route(*found.groups())
        return self.refuse(404, "NOT_FOUND")

    def _start_upload(self, name: str, query: dict[str, list[str]]) -> bool:
        server = self.server
        if "mount" in query and server.can_mount:
            digest, source = query["mount"][0], query["from"][0]
            data = server.blobs.get(source, {}).get(digest)
            if data is not None:
                server.add_blob(name, data)
                return self.answer(201, {"Location": f"/v2/{name}/blobs/{digest}"})
        session = f"u{server.next_number()}"
        server.uploads[session] = bytearray()
        return self._answer_upload(202, name, session)

    def _answer_upload(self, status: int, name: str, session: str) -> bool:
        size = len(self.server.uploads[session])
        headers = {"Location": f"/v2/{name}/blobs/uploads/{session}?state=s{size}", "Range": f"0-{max(size - 1, 0)}"}
        if self.server.min_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.server.min_chunk)
        return self.answer(status, headers)

    def _continue_upload(self, name: str, session: str, query: dict[str, list[str]], body: bytes) -> bool:
        server = self.server
        data = server.uploads.get(session)
        if data is None:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        if self.command == "GET":
            return self._answer_upload(204, name, session)
        if self.command == "DELETE":
            del server.uploads[session]
            return self.answer(204)
        if self.command == "PUT":
            return self._finish_upload(name, session, query, body)
        start, _, end = self.headers["Content-Range"].partition("-")
        is_next = int(start) == len(data) and int(end) - int(start) + 1 == len(body)
        data += body if is_next else b""
        return self._answer_upload(202 if is_next else 416, name, session)

    def _finish_upload(self, name: str, session: str, query: dict[str, list[str]], body: bytes) -> bool:
        server = self.server
        if body and server.refuses_whole_blobs:
            return self.refuse(server.refuses_whole_blobs, "UNSUPPORTED")
        data = bytes(server.uploads.pop(session) + body)
        digest = digest_of(data)
        if [str(digest)] != query.get("digest"):
            return self.refuse(400, "DIGEST_INVALID")
        server.add_blob(name, data)
        return self.answer(201, {"Docker-Content-Digest": self._state_digest(digest)})

    def _send_blob(self, name: str, digest: str) -> bool:
        data = self.server.blobs.get(name, {}).get(digest)
        if data is None:
            return self.refuse(404, "BLOB_UNKNOWN")
        headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        found = re.fullmatch("bytes=([0-9]+)-([0-9]*)", self.headers.get("Range", ""))
        if found and self.command == "GET" and self.server.sends_ranges:
            start, part = int(found[1]), data[int(found[1]) : int(found[2] or len(data)) + 1]
            headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
            return self.answer(206, headers, part)
        return self.answer(200, headers | {"Content-Length": str(len(data))}, data)

    def _exchange_manifest(self, name: str, target: str, body: bytes) -> bool:
        return self._put_manifest(name, target, body) if self.command == "PUT" else self._get_manifest(name, target)

    def _get_manifest(self, name: str, target: str) -> bool:
        stored = self.server.manifests.get(name, {}).get(target)
        if stored is None:
            return self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, document = stored
        headers = {"Content-Type": media_type, "Docker-Content-Digest": self._state_digest(digest_of(document))}
        return self.answer(200, headers | {"Content-Length": str(len(document))}, document)

    def _put_manifest(self, name: str, target: str, body: bytes) -> bool:
        document = json.loads(body)
        needed = [*document.get("layers", []), *filter(None, [document.get("config")])]
        blobs = self.server.blobs.get(name, {})
        missing = [item["digest"] for item in needed if item["digest"] not in blobs]
        manifests = self.server.manifests.get(name, {})
        missing += [item["digest"] for item in document.get("manifests", []) if item["digest"] not in manifests]
        if missing:
            return self.refuse(404, "MANIFEST_BLOB_UNKNOWN", f"blob unknown: {missing[0]}")
        digest = self.server.add_manifest(name, target, body, self.headers["Content-Type"])
        headers = {"Docker-Content-Digest": self._state_digest(digest)}
        if self.server.has_referrers and "subject" in document:
            headers["OCI-Subject"] = document["subject"]["digest"]
        return self.answer(201, headers)

    def _list_referrers(self, name: str, digest: str, query: dict[str, list[str]]) -> bool:
        """Answer with two referrers at a time (distribution-spec 1.1, "Listing Referrers")."""
        if not self.server.has_referrers:
            return self.refuse(404, "NOT_FOUND")
        entries = [*self._find_referrers(name, digest)]
        headers, filters = {"Content-Type": INDEX_TYPE}, query.get("artifactType", [])
        if filters and self.server.filters_referrers:
            entries = [entry for entry in entries if entry["artifactType"] in filters]
            headers["OCI-Filters-Applied"] = "artifactType"
        start = int(query.get("start", ["0"])[0])
        if len(entries) > start + 2:
            more = urlencode({**{key: values[0] for key, values in query.items()}, "start": start + 2})
            headers["Link"] = f'<{self.server.url}/v2/{name}/referrers/{digest}?{more}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries[start : start + 2]}
        return self.answer(200, headers, json.dumps(index).encode())

    def _find_referrers(self, name: str, digest: str) -> Iterator[dict[str, Any]]:
        stored = self.server.manifests.get(name, {})
        for target, (media_type, document) in stored.items():
            manifest = json.loads(document)
            if target.startswith("sha256:") and manifest.get("subject", {}).get("digest") == digest:
                yield {
                    "mediaType": media_type,
                    "digest": target,
                    "size": len(document),
                    "artifactType": manifest.get("artifactType") or manifest["config"]["mediaType"],
                    "annotations": manifest.get("annotations", {}),
                }

    def _list_tags(self, name: str, query: dict[str, list[str]]) -> bool:
        if name not in self.server.manifests:
            return self.refuse(404, "NAME_UNKNOWN")
        tags = sorted(tag for tag in self.server.manifests[name] if not tag.startswith("sha256:"))
        page = [tag for tag in tags if tag > query.get("last", [""])[0]][:2]
        more = {"Link": f'</v2/{name}/tags/list?last={page[-1]}>; rel="next"'} if page and page[-1] != tags[-1] else {}
        return self.answer(200, more, json.dumps({"name": name, "tags": page}).encode())

    def _state_digest(self, digest: Digest) -> str:
        return f"sha256:{'0' * 64}" if self.server.states_wrong_digests else str(digest)

    # --- who is allowed what

    def _needed_scopes(self, path: str, query: dict[str, list[str]]) -> list[str]:
        found = re.fullmatch(r"/v2/(.+)/(?:blobs|manifests|tags|referrers)/.*", path)
        if found is None:
            return []
        actions = "pull" if self.command in ("GET", "HEAD") and "/uploads/" not in path else "pull,push"
        source = query.get("from", []) if self.server.can_mount else []
        return [f"repository:{found[1]}:{actions}", *(f"repository:{name}:pull" for name in source)]

    def _is_allowed(self, authorization: str, needed: list[str]) -> bool:
        server = self.server
        kind, _, value = authorization.partition(" ")
        if server.authentication == "basic":
            return authorization == server_basic(server.account)
        if server.authentication == "token":
            granted = server.tokens.get(value) if kind == "Bearer" else None
            return granted is not None and all(_covers(granted, scope) for scope in needed)
        return True

    def _challenge(self, needed: list[str]) -> bool:
        if self.server.authentication == "basic":
            return self.refuse(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="registry"'})
        scope = f',scope="{" ".join(needed)}"' if needed else ""
        header = f'Bearer realm="{self.server.realm}",service="test registry"{scope}'
        return self.refuse(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": header})

    def _issue_token(self, query: dict[str, list[str]], authorization: str) -> bool:
        server = self.server
        is_known = authorization == server_basic(server.account) or (
            query.get("grant_type") == ["refresh_token"] and query.get("refresh_token") == [server.account.identity]
        )
        if not is_known and (authorization or "refresh_token" in query):
            return self.refuse(401, "UNAUTHORIZED", f"wrong password {unquote(authorization)} {query}")
        scopes = tuple(scope for part in query.get("scope", []) for scope in part.split())
        if not is_known:
            if not server.is_public:
                return self.refuse(401, "UNAUTHORIZED")
            scopes = tuple(scope.replace("pull,push", "pull") for scope in scopes)
        token = f"tOkEn{server.next_number()}"
        server.tokens[token] = scopes
        return self.answer(200, {}, json.dumps({"token": token, "expires_in": server.token_lifetime}).encode())


def server_basic(account: Account) -> str:
    return "Basic " + base64.b64encode(f"{account.user}:{account.password}".encode()).decode()


def _covers(granted: tuple[str, ...], needed: str) -> bool:
    wanted = _SCOPE.fullmatch(needed)
    found = filter(None, map(_SCOPE.fullmatch, granted))
    return wanted is not None and any(
        scope[1] == wanted[1] and set(wanted[2].split(",")) <= set(scope[2].split(",")) for scope in found
    )


@contextmanager
def serve_open_registry(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """Serve a registry for the block, whose clients have no logins of this machine and do not wait between attempts."""
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    with serve_registry() as server, use_policy(QUICK):
        yield server


@contextmanager
def serve_registry(tls: ssl.SSLContext | None = None) -> Iterator[MemoryRegistry]:
    """Run a registry on a free port of this machine for the block, with TLS if there is a context for it."""
    with run_server(MemoryRegistry(tls)) as server:
        yield server


def connect(
    server: MemoryRegistry, name: str = "me/app:1", credentials: Credentials | None = None, **options: Any
) -> RegistryConnection:
    """Return a connection to ``server`` that never pauses; it may push unless ``is_writer`` says otherwise."""
    options = {"is_writer": True, "policy": QUICK, **options}
    return RegistryConnection(server.reference(name), lambda _: credentials, **options)


def answer_with(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Fault:
    """Make a fault that reads the request and answers it with ``status``."""

    def fault(handler: RegistryHandler) -> bool:
        handler.read_body()
        return handler.answer(status, headers, body)

    return fault


def cut_connection(handler: RegistryHandler) -> bool:
    """Close the connection after the request's headers."""
    return handler.cut()


def forget_answer(handler: RegistryHandler) -> bool:
    """Do what was asked, and close the connection without an answer."""
    sent, handler.wfile = handler.wfile, io.BytesIO()
    try:
        handler._route(urlsplit(handler.path).path, parse_qs(urlsplit(handler.path).query), handler.read_body())
    finally:
        handler.wfile = sent
    return handler.cut()


def add_image(
    server: MemoryRegistry, layout: LayoutBuilder, image: Mapping[str, Any], name: str = "me/app", tag: str = "1"
) -> Digest:
    """Store all blobs of ``layout`` in a repository, and ``image``, a manifest or an index of it, under a tag."""
    for path, data in layout.members.items():
        if not path.startswith("blobs/") or not isinstance(data, bytes):
            continue
        server.add_blob(name, data)
        with suppress(ValueError):
            document = json.loads(data)
            for key, kind in _DOCUMENTS.items():
                if isinstance(document, dict) and key in document:
                    server.add_manifest(name, str(digest_of(data)), data, document.get("mediaType", kind))
    data = layout.members[f"blobs/sha256/{image['digest'][7:]}"]
    assert isinstance(data, bytes)
    return server.add_manifest(name, tag, data, image["mediaType"])


def config_document() -> bytes:
    """Return a small document that stands for an image's config."""
    return json.dumps({"architecture": "amd64", "os": "linux"}).encode()


def manifest_document(config: bytes, *layers: bytes) -> bytes:
    """Return a manifest of ``config`` and ``layers``."""

    def describe(data: bytes, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": str(digest_of(data)), "size": len(data)}

    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [describe(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        }
    ).encode()
