"""Where the tasks of a batch run: in processes of this machine, or on the workers of a Dask cluster."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from lamina.compression.compressors import parse_jobs
from lamina.errors import InvalidArgument
from lamina.messages.redaction import clean_url, short_repr

_LOCAL = "local"
_SCHEMES = ("tcp", "tls")
_EXPECTED = "local, local:N or the address of a Dask scheduler, such as tcp://10.0.0.1:8786"
_LOGIN_HINT = "Dask knows no passwords; it uses certificates, with tls://"


@dataclass(frozen=True, slots=True)
class LocalWorkers:
    """``count`` worker processes of this machine."""

    count: int

    def __str__(self) -> str:
        return f"{_LOCAL}:{self.count}"


@dataclass(frozen=True, slots=True)
class DaskScheduler:
    """The workers of a Dask cluster, whose scheduler listens on ``address``, such as ``tcp://10.0.0.1:8786``."""

    address: str

    def __str__(self) -> str:
        return self.address


Where = LocalWorkers | DaskScheduler


def parse_where(name: str, text: str, jobs: int) -> Where:
    """Parse ``local``, ``local:N``, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.

    Args:
        name: The option or argument, for an error.
        text: Its value.
        jobs: The number of processes for ``local``.

    Raises:
        InvalidArgument: The text has another form, or the number is not from 1 to 256.
    """
    if text == _LOCAL:
        return LocalWorkers(jobs)
    if isinstance(text, str) and text.startswith(f"{_LOCAL}:"):
        return LocalWorkers(_parse_count(name, text))
    if isinstance(text, str) and _is_scheduler(text):
        return DaskScheduler(text)
    hint = _LOGIN_HINT if isinstance(text, str) and "@" in text else ""
    raise InvalidArgument(name, short_repr(clean_url(text) if isinstance(text, str) else text), _EXPECTED, hint=hint)


def _parse_count(name: str, text: str) -> int:
    digits = text.removeprefix(f"{_LOCAL}:")
    if not (digits.isascii() and digits.isdecimal()):
        raise InvalidArgument(name, short_repr(text), _EXPECTED)
    try:
        return parse_jobs(int(digits[:5]))
    except InvalidArgument as error:
        raise InvalidArgument(name, short_repr(text), error.expected) from error


def _is_scheduler(text: str) -> bool:
    try:
        url = urlsplit(text)
        return (
            url.scheme in _SCHEMES
            and bool(url.hostname and url.port)
            and text == f"{url.scheme}://{url.netloc}"
            and ("@" not in url.netloc)
        )
    except ValueError:
        return False
