"""Read the network settings of the environment: proxies, certificate authorities, and credentials for hosts.

A setting that cannot be read or used is never ignored: it raises an error that names it.
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

# Nix's own variable first, then those of OpenSSL, Python's requests and curl.
_BUNDLES = ("NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def format_basic_auth(user: str, password: str) -> str:
    """Return the value of an ``Authorization`` header for HTTP basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL without credentials, and the value of its ``Proxy-Authorization`` header, or ``""``."""

    url: str
    authorization: str = field(repr=False)


def find_proxy(origin: Origin) -> Proxy | None:
    """Return the proxy for requests to ``origin``, or None. Raises `InvalidArgument` if it is not an HTTP proxy."""
    proxies = urllib.request.getproxies()
    url = proxies.get(origin.scheme) or proxies.get("all")
    if not url or urllib.request.proxy_bypass(f"{origin.host}:{origin.port}"):
        return None
    if "://" not in url:
        url = f"http://{url}"
    parts = try_split_url(url)
    # A path, query or fragment suggests a password that is not escaped: the host of ``http://http:/user:password@host``
    # is "http".
    has_more = parts is not None and ("@" in parts.path or parts.query or parts.fragment)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or has_more:
        raise proxy_error(url, origin.scheme)
    authorization = ""
    if parts.username is not None:
        authorization = format_basic_auth(unquote(parts.username), unquote(parts.password or ""))
    return Proxy(strip_credentials(url), authorization)


def proxy_error(url: str, scheme: str) -> InvalidArgument:
    """Return the error for a proxy ``url`` that cannot be used for requests of ``scheme``."""
    return InvalidArgument(
        f"proxy {redact_url(url)}",
        "an unsupported proxy",
        "an HTTP proxy such as http://HOST:8080",
        hint=f"change {scheme}_proxy or all_proxy, or name hosts for direct connections in no_proxy",
    )


def find_ca_bundle() -> Path | None:
    """Return the file or folder of certificate authorities that the environment names, or None.

    Raises `Unavailable` if it cannot be read.
    """
    for variable in _BUNDLES:
        value = os.environ.get(variable)
        if value:
            path = Path(value)
            with contextlib.suppress(OSError, ValueError):
                check_file(path, str(path), "certificate authorities")
            if not os.access(path, os.R_OK):
                raise Unavailable(
                    path, "no readable file", "certificate authorities", hint=f"the name comes from {variable}"
                )
            return path
    return None


def create_tls_context() -> ssl.SSLContext:
    """Create a TLS context that trusts the authorities of the environment, else of the system, else Mozilla's.

    Raises `Unavailable` if the file or folder that the environment names cannot be used.
    """
    path = find_ca_bundle()
    if path is not None:
        try:
            if os.path.isdir(path):
                return ssl.create_default_context(capath=str(path))
            return ssl.create_default_context(cafile=str(path))
        except OSError as error:  # includes ssl.SSLError
            raise Unavailable(path, error, "certificates in PEM") from error
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
    """Return user and password for ``host`` from ``$NETRC``, else ``~/.netrc``; None if there are none.

    Raises `Unavailable` if the file cannot be read or parsed, or if ``$NETRC`` does not exist.
    """
    configured = os.environ.get("NETRC")
    path = configured or os.path.expanduser("~/.netrc")
    try:
        check_file(path, path, "a netrc file")
        found = netrc.netrc(path).authenticators(host)
    except FileNotFoundError as error:
        if configured:
            raise Unavailable(path, "nothing there", "a netrc file", hint="the name comes from NETRC") from error
        return None
    except netrc.NetrcParseError as error:
        # The error message quotes a part of the file, which may be a password.
        raise Unavailable(f"{path} line {error.lineno}", "invalid syntax", "a netrc file") from None
    except (OSError, UnicodeDecodeError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or "invalid UTF-8"
        raise Unavailable(path, got, "a netrc file") from None
    if found is None:
        return None
    login, _, password = found
    return login or "", password or ""
