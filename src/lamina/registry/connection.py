"""Send requests to one repository of a registry: find out how it is reached, log in, and repeat what failed.

Plain HTTP is used for this machine, as docker does, and elsewhere only if the user allowed it and the registry does not
speak TLS. A certificate that is not trusted is always an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import RLock
from typing import Self, TypeVar

from lamina.errors import RegistryError
from lamina.formats.auth_challenges import parse_challenges
from lamina.formats.registry_references import RegistryReference, is_loopback_host
from lamina.registry.authentication import Authenticator
from lamina.registry.credentials import FindCredentials, suggest_login
from lamina.registry.requests import UNREACHABLE_HINT, RegistryRequest, RegistryResponse
from lamina.registry.sender import RequestSender
from lamina.transports.retry import RetryPolicy, RetryState, TransientError, current_policy
from lamina.transports.urls import Origin, format_host

_Result = TypeVar("_Result")
# A request is refused once before the challenge is known, and once if the challenge of the request wants another scope.
_MAX_LOGINS = 2
# Such a host gets no credentials: the URL is signed, usually for some minutes, and a login changes nothing.
_OTHER_HOST_HINT = (
    "try again, because such URLs expire; check the clock, and whether a proxy or firewall refuses the host"
)


class _FailedAnswerError(TransientError):
    """The registry answered its first request with a status that may pass."""


class RegistryConnection:
    """Requests to the repository of ``reference``; safe for many threads. It is a block that closes the connections.

    Args:
        reference: names the repository. Its tag and digest do not matter.
        find_credentials: returns the credentials for ``HOST[:PORT]/REPOSITORY``. It is called once, and only if the
            registry asks.
        is_writer: ask for tokens that allow to write too.
        insecure: allow plain HTTP if the registry does not speak TLS.
        login_hint: returns the hint of `AuthError` for ``HOST[:PORT]/REPOSITORY``.
        policy: the timeouts and delays; by default those of the context.

    """

    def __init__(
        self,
        reference: RegistryReference,
        find_credentials: FindCredentials,
        *,
        is_writer: bool = False,
        insecure: bool = False,
        login_hint: Callable[[str], str] = suggest_login,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.name: str = reference.name
        self.repository: str = reference.repository
        self.policy: RetryPolicy = policy or current_policy()
        self.scopes: tuple[str, ...] = (f"repository:{self.repository}:{'pull,push' if is_writer else 'pull'}",)
        """The scopes that a token for requests to the repository must have."""
        self._host = reference.api_host
        self._insecure = insecure
        self._sender = RequestSender(self.policy)
        self._authenticator = Authenticator(self.name, self._sender, find_credentials, login_hint, allows_http=insecure)
        self._lock = RLock()
        self._root = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all idle connections."""
        self._sender.close()

    def perform(self, request: RegistryRequest, read: Callable[[RegistryResponse], _Result]) -> _Result:
        """Send ``request`` until there is a response that is no passing failure, and return what ``read`` makes of it.

        Raises:
            AuthError: the registry refuses the credentials, or wants some.
            RegistryError: the registry failed several times, or ``read`` raises it.

        """
        retries = self.count_retries(request.subject)
        while True:
            try:
                with self.open(request) as response:
                    return read(response)
            except TransientError as error:
                retries.retry(error)

    def count_retries(self, subject: str) -> RetryState:
        """Return the state that counts the failed attempts of a request about ``subject``."""
        return RetryState(self.policy, subject, "an answer", RegistryError, self._unreachable_hint)

    @contextlib.contextmanager
    def open(self, request: RegistryRequest) -> Iterator[RegistryResponse]:
        """Send ``request`` once, log in if the registry asks, and open the response for the block.

        Raises:
            AuthError: the registry answered 401 in spite of the credentials, or 403.
            RegistryError: a request failed for good, or a host that the registry names refuses it.
            TransientError: a request failed and may be repeated; 408, 425, 429 and most of 5xx count too.

        """
        root = self._find_root()
        origin = Origin.of(root)
        if request.url.startswith("/"):
            request = replace(request, url=root + request.url)
        for attempt in range(_MAX_LOGINS + 1):
            authorization = self._authenticator.authorize(request.scopes)
            with self._sender.open(request, authorization, origin) as response:
                if response.status != 401 or not self._is_registry(response):
                    self._check(request, response)
                    yield response
                    return
                challenges = parse_challenges(response.header("WWW-Authenticate"))
                got = self._describe(response)
            if attempt == _MAX_LOGINS or (authorization.startswith("Basic ") and challenges):
                raise self._authenticator.make_error(got)
            self._authenticator.accept(origin, challenges, request.scopes, authorization)

    def make_error(self, response: RegistryResponse, expected: str) -> RegistryError:
        """Return the error for the status of ``response``, with what the registry says of it."""
        return RegistryError(response.response.subject, self._describe(response), expected)

    def _describe(self, response: RegistryResponse) -> str:
        """Return the status, what the answer says of it, and which host answered if it is not the registry."""
        got = response.describe(self._authenticator.hide_secrets)
        return got if self._is_registry(response) else f"{got} from {format_host(Origin.of(response.url))}"

    def _is_registry(self, response: RegistryResponse) -> bool:
        """Return whether the registry answered, and not a host to which it redirects or that takes its uploads."""
        return Origin.of(response.url) == Origin.of(self._root)

    def _check(self, request: RegistryRequest, response: RegistryResponse) -> None:
        is_registry = self._is_registry(response)
        if response.response.is_transient:
            hint = self._authenticator.suggest_account() if response.status == 429 and is_registry else ""
            raise TransientError(self._describe(response), response.response.retry_after, hint=hint)
        if response.status == 403 and is_registry and not request.may_be_forbidden:
            raise self._authenticator.make_error(self._describe(response))
        if response.status in (401, 403) and not is_registry:
            expired = self.make_error(response, "an answer").add_hint(_OTHER_HOST_HINT)
            expired.is_transient = True
            raise expired
        if response.status in (401, 407):
            raise self.make_error(response, "an answer")

    # --- how the registry is reached

    def _find_root(self) -> str:
        """Return the scheme and host of the registry, and learn its challenge, with a first request (``GET /v2/``).

        Raises `TransientError` if it does not answer, and `RegistryError`.
        """
        with self._lock:
            if not self._root:
                self._root = self._try_schemes()
            return self._root

    def _try_schemes(self) -> str:
        roots = [f"{scheme}://{self._host}" for scheme in self._schemes]
        failures: list[TransientError] = []
        for root in roots:
            try:
                status = self._probe(root)
            except _FailedAnswerError:
                raise  # the registry speaks this scheme, so no other is tried
            except TransientError as error:
                failures.append(error)
            else:
                if status != 400 or root == roots[-1]:  # 400 over plain HTTP is the answer of many servers for TLS
                    return root
        raise failures[0]

    @property
    def _schemes(self) -> tuple[str, ...]:
        if is_loopback_host(self._host):
            return ("http", "https")
        return ("https", "http") if self._insecure else ("https",)

    @property
    def _unreachable_hint(self) -> str:
        is_https = not self._insecure and not is_loopback_host(self._host)
        return f"{UNREACHABLE_HINT}; --insecure allows plain HTTP" if is_https else UNREACHABLE_HINT

    def _probe(self, root: str) -> int:
        """Ask for the version of the API, remember the challenge, and return the status. Raises `TransientError`."""
        request = RegistryRequest("GET", f"{root}/v2/", self.name)
        with self._sender.open(request, "", Origin.of(root)) as response:
            if response.response.is_transient:
                hint = self._authenticator.suggest_account() if response.status == 429 else ""
                raise _FailedAnswerError(response.describe(), response.response.retry_after, hint=hint)
            if response.status == 401:
                challenges = parse_challenges(response.header("WWW-Authenticate"))
                self._authenticator.accept(Origin.of(root), challenges)
            return response.status
