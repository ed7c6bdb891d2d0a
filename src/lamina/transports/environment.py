"""What the environment says of the network: proxies, certificate authorities, and who we are to a host.

Invariant: what is named there and cannot be read or used is an error that names it, never passed over.
"""

from __future__ import annotations

import base64
import contextlib
import netrc
import os
import ssl
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from lamina.errors import InvalidArgument, Unavailable
from lamina.system.documents import check_file
from lamina.transports.urls import Origin, redact_url, strip_credentials, try_split_url

# Nix's own first, then what curl, Python and OpenSSL go by.
_BUNDLES = ("NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def basic_auth(user: str, password: str) -> str:
    """The value of an ``Authorization`` header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy without its credentials, and those, as a header has them, or ``""``."""

    url: str
    authorization: str = field(repr=False)


def find_proxy(origin: Origin) -> Proxy | None:
    """The proxy that ``origin`` is asked through; raises `InvalidArgument` for one of another kind than HTTP."""
    proxies = urllib.request.getproxies()
    url = proxies.get(origin.scheme) or proxies.get("all")
    if not url or urllib.request.proxy_bypass(f"{origin.host}:{origin.port}"):
        return None
    if "://" not in url:
        url = f"http://{url}"
    parts = try_split_url(url)
    # What a password that is not escaped leaves behind the host: ``http:/user:password@host`` has the host "http".
    has_more = parts is not None and ("@" in parts.path or parts.query or parts.fragment)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or has_more:
        raise proxy_error(url, origin.scheme)
    given = basic_auth(unquote(parts.username), unquote(parts.password or "")) if parts.username is not None else ""
    return Proxy(strip_credentials(url), given)


def proxy_error(url: str, scheme: str) -> InvalidArgument:
    """Return the error for a proxy ``url`` that cannot be used for requests of ``scheme``."""
    return InvalidArgument(
        f"proxy {redact_url(url)}: got no HTTP proxy, expected http://HOST:8080",
        hint=f"{scheme}_proxy or all_proxy names it; no_proxy names hosts to connect to directly",
    )


def find_ca_bundle() -> Path | None:
    """The file or folder of certificate authorities that the environment names; raises `Unavailable`."""
    for variable in _BUNDLES:
        value = os.environ.get(variable)
        if value:
            path = Path(value)
            with contextlib.suppress(OSError, ValueError):
                check_file(path, str(path), "certificate authorities")
            if not os.access(path, os.R_OK):
                raise Unavailable(
                    f"{path}: got no file that can be read, expected certificate authorities",
                    hint=f"{variable} names it",
                )
            return path
    return None


def create_tls_context() -> ssl.SSLContext:
    """Trusts the authorities that the environment names, else those of the system, else Mozilla's.

    Raises `Unavailable`.
    """
    path = find_ca_bundle()
    if path is not None:
        try:
            if os.path.isdir(path):
                return ssl.create_default_context(capath=str(path))
            return ssl.create_default_context(cafile=str(path))
        except OSError as error:  # such as ssl.SSLError
            raise Unavailable(f"{path}: got {error.strerror or error}, expected certificates in PEM") from error
    context = ssl.create_default_context()
    if not context.get_ca_certs() and not _has_files(ssl.get_default_verify_paths().capath):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _has_files(folder: str | None) -> bool:
    try:
        return folder is not None and bool(os.listdir(folder))
    except OSError:
        return False


def read_credentials(host: str) -> tuple[str, str] | None:
    """User and password for ``host`` from ``$NETRC``, else ``~/.netrc``; raises `Unavailable` for a broken file."""
    named = os.environ.get("NETRC")
    path = named or os.path.expanduser("~/.netrc")
    try:
        check_file(path, path, "a netrc")
        found = netrc.netrc(path).authenticators(host)
    except FileNotFoundError as error:
        if named:
            raise Unavailable(f"{path}: got nothing there, expected a netrc", hint="NETRC names it") from error
        return None
    except netrc.NetrcParseError as error:
        # Its message has what stands there, which may be a password.
        raise Unavailable(f"{path} line {error.lineno}: got what netrc does not know, expected a netrc") from None
    except (OSError, UnicodeDecodeError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or "bytes that are no UTF-8"
        raise Unavailable(f"{path}: got {got}, expected a netrc") from None
    if found is None:
        return None
    login, _, password = found
    return login or "", password or ""
