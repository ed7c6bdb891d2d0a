"""Send HTTP requests over pooled connections of urllib3.

A response that is slower than the minimum rate is an error; headers and framing count too. Every exception of urllib3
is translated to `TransientError` or `Unavailable`.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import logging
import re
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout, exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from lamina.errors import InvalidArgument, Unavailable, Unreachable
from lamina.transports.environment import Proxy, create_tls_context, find_proxy, proxy_error
from lamina.transports.retry import (
    MAX_CONNECTIONS,
    NETWORK_HINT,
    MinimumRate,
    RetryPolicy,
    TooSlowError,
    TransientError,
)
from lamina.transports.urls import Origin, redact_url

# The maximum number of bytes around one piece of content: status lines, headers, the framing of chunks, trailers.
_MAX_OVERHEAD = 1 << 20
_BUFFER_SIZE = 1 << 16
# A socket's timeout covers one call that sends, so large pieces are divided.
_MAX_SENT = 1 << 17
# Requests of these methods state the length of their body, even if it is empty.
_WITH_BODY = {"PUT", "POST", "PATCH"}
_CA_HINT = "name a file of certificate authorities in NIX_SSL_CERT_FILE or SSL_CERT_FILE"
_NO_ADDRESS, _ANSWER = "no address for its host", "a server that answers"
_PROXY_HINT = "put user and password into the proxy's URL in https_proxy or http_proxy"
_NETRC_HINT = "put user and password for the host into ~/.netrc (or the file that NETRC names), or into the URL"


class Connections:
    """Connections to any host, directly or through a proxy; safe for many threads.

    With ``is_direct`` no proxy is used, whatever the environment says.
    """

    def __init__(self, policy: RetryPolicy, *, is_direct: bool = False) -> None:
        logging.getLogger("urllib3.connectionpool").addFilter(_hide_queries)
        self._policy = policy
        self._is_direct = is_direct
        self._timeout = Timeout(connect=policy.connect_timeout, read=policy.read_timeout)
        self._managers: dict[tuple[str, Proxy | None, bool], PoolManager] = {}
        self._lock = threading.RLock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        subject: str,
        body: bytes | Iterable[bytes] = b"",
        *,
        read_timeout: float | None = None,
        is_public_only: bool = False,
    ) -> BaseHTTPResponse:
        """Send a request and return the response as soon as its status and headers have been received.

        The caller must close the response. Redirects are not followed, and the content is not decoded.

        Args:
            method: the request's method.
            url: an absolute http or https URL.
            headers: the headers to send.
            subject: the name of the file in messages.
            body: the body to send, or its pieces, whose total length must be in the header ``Content-Length``. An
                exception of the iterable ends the request and is raised unchanged.
            read_timeout: the maximum time until the response begins, if it differs from the policy's.
            is_public_only: refuse to connect to an address that is not public. An address behind a proxy is unknown,
                so the proxy decides there.

        Raises:
            TransientError: the request failed, but may succeed when it is repeated.
            Unavailable: the request failed for good.
            InvalidArgument: the environment names a proxy that is not an HTTP proxy.

        """
        manager = self._get_manager(url, subject, is_public_only=is_public_only)
        pieces = body if isinstance(body, bytes) else _BodyPieces(body)
        timeout = self._timeout if read_timeout is None else Timeout(self._policy.connect_timeout, read_timeout)
        try:
            with translate_errors(subject, self._policy):
                return manager.urlopen(
                    method,
                    url,
                    redirect=False,
                    body=pieces or (b"" if method in _WITH_BODY else None),
                    headers=headers,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=timeout,
                )
        except _BodyError as error:
            raise error.source from None
        except _PrivateAddressError as error:
            raise _private_address_error(subject, error.host) from None

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _get_manager(self, url: str, subject: str, *, is_public_only: bool) -> PoolManager:
        try:
            origin = Origin.of(url)
        except InvalidArgument:
            raise Unavailable(subject, redact_url(url), "http:// or https://") from None
        proxy = None if self._is_direct else find_proxy(origin)
        if is_public_only and is_private_host(origin.host):
            raise _private_address_error(subject, origin.host)
        key = origin.scheme, proxy, is_public_only and proxy is None
        with self._lock:
            if key not in self._managers:
                self._managers[key] = self._create_manager(*key)
            return self._managers[key]

    def _create_manager(self, scheme: str, proxy: Proxy | None, is_public_only: bool) -> PoolManager:
        is_encrypted = scheme == "https" or (proxy is not None and proxy.url.startswith("https:"))
        options: dict[str, Any] = {"maxsize": MAX_CONNECTIONS}
        if is_encrypted:
            options["ssl_context"] = create_tls_context()
        if proxy is None:
            manager = PoolManager(**options)
        else:
            headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else None
            context = options.get("ssl_context")
            try:
                manager = ProxyManager(proxy.url, proxy_headers=headers, proxy_ssl_context=context, **options)
            except exceptions.LocationParseError:  # its text repeats the URL, which may contain a password
                raise proxy_error(proxy.url, scheme) from None
        manager.pool_classes_by_scheme = _make_pool_classes(self._policy, is_public_only)
        return manager


def _hide_queries(record: logging.LogRecord) -> bool:
    """Remove the queries of URLs, which may contain secrets, from what urllib3 logs."""
    if isinstance(record.args, tuple):
        record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
    return True


class _BodyError(Exception):
    """Carries an exception of a request's body past the code that translates those of the network."""

    def __init__(self, source: Exception) -> None:
        super().__init__()
        self.source = source


class _BodyPieces:
    """The pieces of a request's body, divided so that each can be sent within a socket's timeout."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._pieces:
                for start in range(0, len(piece), _MAX_SENT):
                    yield piece[start : start + _MAX_SENT]
        except Exception as error:
            raise _BodyError(error) from error


def is_private_host(host: str) -> bool:
    """Return whether ``host`` is ``localhost`` or an IP address that is not public; a name is not looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return not (getattr(address, "ipv4_mapped", None) or address).is_global


def is_private_peer(response: BaseHTTPResponse) -> bool:
    """Return whether the server that sent ``response`` has a private address; False behind a proxy."""
    address = getattr(response.connection, "peer_address", "")
    return bool(address) and is_private_host(address)


def _private_address_error(subject: str, host: str) -> Unavailable:
    return Unavailable(subject, f"the private address of {host}", "a public address")


@contextlib.contextmanager
def translate_errors(subject: str, policy: RetryPolicy) -> Iterator[None]:
    """Translate exceptions of urllib3 within the block to `TransientError` or `Unavailable`."""
    try:
        yield
    except (exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        _raise_translated(subject, error, policy)


def credentials_error(subject: str, status: int) -> Unavailable:
    """Return the error for a ``status`` that requires other credentials."""
    sender, hint = ("the proxy", _PROXY_HINT) if status == 407 else ("the server", _NETRC_HINT)
    return Unavailable(subject, f"HTTP {status} from {sender}", "accepted credentials", hint=hint)


def _raise_translated(subject: str, error: Exception, policy: RetryPolicy) -> NoReturn:
    inner = _find_root_cause(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        got = f"a certificate that is not trusted ({inner.verify_message})"
        raise Unreachable(subject, got, "a trusted certificate", hint=_CA_HINT) from error
    if isinstance(inner, socket.gaierror) and inner.errno == socket.EAI_NONAME:
        raise Unreachable(subject, _NO_ADDRESS, _ANSWER, hint=NETWORK_HINT, is_transient=True) from error
    tunnel = re.match(r"Tunnel connection failed: (\d+)", str(inner)) if type(inner) is OSError else None
    if tunnel is not None:
        status = int(tunnel[1])
        if status == 407:
            raise credentials_error(subject, status) from error
        if status < 500:
            raise Unreachable(subject, f"HTTP {status} from the proxy", "a connection through it") from error
        raise TransientError(f"HTTP {status} from the proxy", is_unreachable=True) from error
    if isinstance(inner, TooSlowError):  # a retry would most likely be too slow as well
        raise Unreachable(subject, inner, "a faster server", is_transient=True) from error
    transient = _TRANSIENT if isinstance(error, exceptions.HTTPError) else (http.client.HTTPException, OSError)
    if isinstance(error, transient):
        raise TransientError(
            _describe_failure(error, inner, policy), is_unreachable=isinstance(error, _UNREACHABLE)
        ) from error
    raise Unavailable(subject, type(error).__name__, "an HTTP response") from error


_TRANSIENT = (
    exceptions.ProtocolError,
    exceptions.TimeoutError,
    exceptions.NewConnectionError,
    exceptions.SSLError,
    exceptions.ProxyError,
)
_UNREACHABLE = (
    exceptions.TimeoutError,
    exceptions.NewConnectionError,
    exceptions.SSLError,
    exceptions.ProxyError,
    TimeoutError,
)


def _find_root_cause(error: BaseException) -> BaseException:
    """Return the innermost error, because urllib3 wraps errors in its own, as arguments or causes."""
    for _ in range(10):
        inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if inner is None or inner is error:
            break
        error = inner
    return error


def _describe_failure(error: Exception, inner: BaseException, policy: RetryPolicy) -> str:
    match inner:
        case socket.gaierror():
            got = _NO_ADDRESS
        case TimeoutError() | exceptions.TimeoutError():
            is_connected = isinstance(error, exceptions.ReadTimeoutError)
            got = (
                f"nothing for {policy.read_timeout:g} seconds"
                if is_connected
                else f"no connection in {policy.connect_timeout:g} s"
            )
        case http.client.RemoteDisconnected():
            got = "the connection closed without an answer"
        case http.client.IncompleteRead() | exceptions.IncompleteRead() | ssl.SSLEOFError():
            got = "the end of the connection within the answer"
        case ssl.SSLError():
            got = f"TLS that failed ({inner.reason or type(inner).__name__})"
        case OSError():
            got = inner.strerror or type(inner).__name__
        case _:
            got = f"no HTTP ({type(inner).__name__})"
    return got


class _TimedReader(io.RawIOBase):
    """Reads from a socket, and enforces the minimum rate and the limit in bytes in ``remaining``.

    While ``is_in_head``, a connection that ends after the first byte is an error: http.client takes the headers up to
    there for all.
    """

    def __init__(self, raw: io.RawIOBase, policy: RetryPolicy) -> None:
        super().__init__()
        self._raw = raw
        self._clock = policy.clock
        self._rate = MinimumRate(policy)
        self._has_begun = False
        self.is_in_head = False
        self.remaining = _MAX_OVERHEAD

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        start = self._clock()
        size = self._raw.readinto(buffer)
        if size:
            # The wait for the first byte has its own limit, and a server may need long to store an upload.
            self._rate.record(size, self._clock() - start if self._has_begun else 0.0)
            self._has_begun = True
            self.remaining -= size
            if self.remaining < 0:
                raise http.client.HTTPException("more headers or trailers than any response needs")
        elif size == 0 and self.is_in_head and self._has_begun:
            raise http.client.IncompleteRead(b"")
        return size

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PrivateAddressError(Exception):
    """A host has a private address, but only public ones are allowed."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host


def _check_peer(connection: HTTPConnection, connected: socket.socket, is_public_only: bool) -> None:
    """Remember the address that ``connection`` leads to, and refuse a private one with ``is_public_only``."""
    if connection.proxy is not None:
        return
    connection.peer_address = str(connected.getpeername()[0])  # type: ignore[attr-defined]
    if is_public_only and is_private_host(connection.peer_address):  # type: ignore[attr-defined]
        connected.close()
        raise _PrivateAddressError(connection.host)


def _set_timeout(connection: HTTPConnection, policy: RetryPolicy) -> None:
    """Give each piece of a body the time of a read; urllib3 would give it that of a connection."""
    if connection.sock is not None:
        connection.sock.settimeout(policy.read_timeout)


def _make_pool_classes(policy: RetryPolicy, is_public_only: bool) -> dict[str, Any]:
    """Return urllib3's connection pools by scheme, with responses that are read through a `_TimedReader`.

    A connection remembers its ``peer_address``, and with ``is_public_only`` it sends nothing to a private one. The
    connected socket is checked, so a name that is looked up twice with different results does not evade the check.
    """

    class _TimedResponse(http.client.HTTPResponse):
        def __init__(self, sock: Any, *args: Any, **keywords: Any) -> None:
            super().__init__(sock, *args, **keywords)
            self._timed_reader = _TimedReader(self.fp.detach(), policy)
            self.fp = io.BufferedReader(self._timed_reader, _BUFFER_SIZE)

        def begin(self) -> None:
            self._timed_reader.is_in_head = True
            super().begin()
            self._timed_reader.is_in_head = False

        def read1(self, size: int = -1, /) -> bytes:
            self._timed_reader.remaining = size + _MAX_OVERHEAD
            return super().read1(size)

    class _TimedHTTPConnection(HTTPConnection):
        response_class = _TimedResponse

        def endheaders(self, *args: Any, **keywords: Any) -> None:
            super().endheaders(*args, **keywords)
            _set_timeout(self, policy)

        def _new_conn(self) -> socket.socket:
            connected = super()._new_conn()
            _check_peer(self, connected, is_public_only)
            return connected

    class _TimedHTTPSConnection(HTTPSConnection):
        response_class = _TimedResponse

        def endheaders(self, *args: Any, **keywords: Any) -> None:
            super().endheaders(*args, **keywords)
            _set_timeout(self, policy)

        def _new_conn(self) -> socket.socket:
            connected = super()._new_conn()
            _check_peer(self, connected, is_public_only)
            return connected

    class _TimedHTTPPool(HTTPConnectionPool):
        ConnectionCls = _TimedHTTPConnection

    class _TimedHTTPSPool(HTTPSConnectionPool):
        ConnectionCls = _TimedHTTPSConnection

    return {"http": _TimedHTTPPool, "https": _TimedHTTPSPool}
