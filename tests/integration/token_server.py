"""A token server for docker-registry: it checks a user's password and signs tokens for what is asked for.

The tokens are JSON Web Tokens signed with RS256, whose certificate is in their header (Docker Registry v2
authentication, "Token Authentication Implementation").
"""

import base64
import http.server
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from tests.support.servers import LocalServer, run_server

SERVICE, ISSUER = "test registry", "test token server"
USER, PASSWORD = "user", "secret"
IDENTITY_TOKEN = "identity-token"


class TokenServer(LocalServer):
    """Issues tokens that last ``lifetime`` seconds, and counts them in ``issued``."""

    def __init__(self) -> None:
        super().__init__(_TokenHandler)
        self.lifetime = 300
        self.issued: list[list[str]] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/token"

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def settings(self, bundle: str) -> dict[str, Any]:
        """Return the part ``auth`` of docker-registry's settings; ``bundle`` is the file that has `pem`."""
        return {"token": {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": bundle}}

    def issue(self, scopes: list[str]) -> str:
        self.issued.append(scopes)
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "exp": now + self.lifetime,
            "nbf": now - 10,
            "iat": now,
            "jti": str(len(self.issued)),
            "access": access,
        }
        certificate = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
        header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}"


class _TokenHandler(http.server.BaseHTTPRequestHandler):
    server: TokenServer

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        is_known = self.headers.get("Authorization") == expected
        self._answer(parse_qs(urlsplit(self.path).query), "token", is_known=is_known)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        is_known = form["grant_type"] == ["refresh_token"] and form["refresh_token"] == [IDENTITY_TOKEN]
        self._answer(form, "access_token", is_known=is_known)

    def _answer(self, fields: dict[str, list[str]], key: str, *, is_known: bool) -> None:
        scopes = [scope for part in fields.get("scope", []) for scope in part.split()]
        body = {key: self.server.issue(scopes), "expires_in": self.server.lifetime} if is_known else {}
        document = json.dumps(body).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document)

    def log_message(self, *arguments: object) -> None:
        pass


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def serve_tokens() -> Iterator[TokenServer]:
    """Run a token server on a free port of this machine for the block."""
    with run_server(TokenServer()) as server:
        yield server
