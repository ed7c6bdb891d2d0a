"""References to images in registries: ``HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]``.

Docker's rules apply (distribution/reference, "Normalization"): a name without a registry belongs to Docker Hub,
where a name of a single word gets the prefix ``library/``. A reference without a tag and a digest has the tag
``latest``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lamina.core.names import Digest, parse_repository, parse_tag, split_reference
from lamina.errors import InvalidArgument
from lamina.formats.image_names import HUB, LATEST, split_host
from lamina.formats.transports import REGISTRY_TRANSPORT, make_source_hint, split_transport
from lamina.messages.redaction import holds_secret, short_repr

_SUBJECT = "image reference"
_EXPECTED = "HOST[:PORT]/REPOSITORY[:TAG][@sha256:HEX]"
_HEX_DIGITS = 64
# The address of a registry that is no name of an image: a machine's own name with a port, or an IPv4 address.
_ADDRESS = re.compile(r"localhost:[0-9]{1,5}|[0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]{1,5})?")
_API_HOSTS = {HUB: "registry-1.docker.io"}
_LOOPBACK = re.compile(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\]|::1)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class RegistryReference:
    """The name of an image in a registry.

    Attributes:
        host: the registry as users write it, in lower case and with its port: ``docker.io``, ``localhost:5000``.
        repository: the name inside the registry: ``library/debian``.
        tag: the tag, or empty if only a digest is given.
        digest: the digest of a manifest or an index, or None if only a tag is given.
    """

    host: str
    repository: str
    tag: str
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> RegistryReference:
        """Parse a reference, with or without ``docker://`` before it. Raises `InvalidArgument`."""
        _check_digest_length(text)
        if holds_secret(text):
            raise InvalidArgument(_SUBJECT, "one with a user or a password", _EXPECTED, hint="log in with docker login")
        name = _strip_transport(text)
        name, at, digest = name.partition("@")
        repository, tag = split_reference(name)
        if not repository:
            raise InvalidArgument(_SUBJECT, short_repr(text), _EXPECTED)
        if _ADDRESS.fullmatch(name):
            raise InvalidArgument(_SUBJECT, f"{name}, without a repository", _EXPECTED, hint=f"write {name}/REPOSITORY")
        host, path = split_host(repository)
        parse_repository(f"{host}/{path}")
        if path != path.lower():
            hint = f"write {repository.lower()}"
            raise InvalidArgument(_SUBJECT, short_repr(text), "a repository in lower case", hint=hint)
        if tag is None:
            tag = "" if at else LATEST
        else:
            parse_tag(tag)
        return cls(host.lower(), path, tag, _parse_digest(digest) if at else None)

    @property
    def target(self) -> str:
        """The digest if there is one, else the tag: the last part of a manifest's URL."""
        return str(self.digest) if self.digest else self.tag

    @property
    def name(self) -> str:
        """The registry and the repository: ``docker.io/library/debian``."""
        return f"{self.host}/{self.repository}"

    @property
    def api_host(self) -> str:
        """The host that answers requests. For Docker Hub, it differs from the host in references."""
        return _API_HOSTS.get(self.host, self.host)

    def with_digest(self, digest: Digest) -> RegistryReference:
        """Return the reference to the manifest with ``digest``, without the tag: skopeo refuses both together."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"


def is_loopback_host(host: str) -> bool:
    """Return whether ``host``, with or without a port, is this machine, so that plain HTTP is allowed as in docker."""
    return bool(_LOOPBACK.fullmatch(host))


def _strip_transport(text: str) -> str:
    if text.startswith(REGISTRY_TRANSPORT):
        return text.removeprefix(REGISTRY_TRANSPORT)
    if found := split_transport(text):
        raise InvalidArgument(_SUBJECT, f"the transport {found[0]}:", _EXPECTED, hint=make_source_hint(*found))
    scheme = re.match("[A-Za-z]+://", text)
    if scheme:
        hint = f"leave {scheme[0]} out"
        raise InvalidArgument(_SUBJECT, short_repr(text), _EXPECTED, hint=hint)
    return text


def _check_digest_length(text: str) -> None:
    """Refuse a digest that is too short or too long to be one, which may look like a password and a host.

    The message does not repeat it.
    """
    _, at, digest = text.rpartition("@")
    digits = digest.removeprefix("sha256:")
    if at and digits != digest and len(digits) != _HEX_DIGITS:
        raise InvalidArgument(f"digest of the {_SUBJECT}", f"{len(digits)} characters", "sha256: and 64 hex digits")


def _parse_digest(text: str) -> Digest:
    algorithm, colon, digits = text.partition(":")
    if algorithm != "sha256" or not colon:
        raise InvalidArgument(f"digest of the {_SUBJECT}", short_repr(text), "sha256: and 64 hex digits")
    return Digest.from_hex(digits)
