"""Connect to a Dask cluster, and check its workers before they get tasks.

Invariant: neither tasks nor this connection carry credentials or bytes of layers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.errors import InvalidArgument, OutputError
from lamina.fleet.dask_executor import DaskExecutor
from lamina.fleet.executors import BatchExecutor
from lamina.fleet.fingerprint import Fingerprint, list_versions
from lamina.messages.redaction import short_repr

if TYPE_CHECKING:
    from distributed import Client  # imported on demand: it is an extra, and takes half a second

# How many seconds to wait for the scheduler, for the first worker, and for the end of the connection.
_CONNECT_SECONDS = 10
_WORKER_SECONDS = 10
_CLOSE_SECONDS = 2
_NOISY_LOGGERS = ("distributed", "tornado")


@contextmanager
def connect(address: str, fingerprint: Fingerprint) -> Iterator[BatchExecutor]:
    """Connect to the scheduler at ``address``, and check its workers; the end of the block closes the connection.

    TLS is configured as for every Dask client, in Dask's configuration.

    Raises:
        InvalidArgument: Workers have other versions, or the Dask client is not installed.
        OutputError: The scheduler does not answer, or has no workers.
    """
    try:
        import distributed  # noqa: F401 - see `_open_client`
    except ImportError as error:
        hint = "pip install '.[dask]' in a checkout of lamina"
        raise InvalidArgument(f"--on {address}", "no Dask client", "it to be installed", hint=hint) from error
    with _quiet_logging():
        client = _open_client(address)
        try:
            with use_client(f"--on {address}", client, fingerprint) as cluster:
                yield cluster
        finally:
            client.close(timeout=_CLOSE_SECONDS)


@contextmanager
def use_client(subject: str, client: object, fingerprint: Fingerprint) -> Iterator[BatchExecutor]:
    """Check the workers of ``client``, and use them; the end of the block cancels tasks that it did not wait for.

    Args:
        subject: The cluster, for an error.
        client: A `distributed.Client`, which stays open.
        fingerprint: The versions that all workers must have.
    """
    checked = _check_client(subject, client)
    scheduler = str(checked.scheduler and checked.scheduler.address)
    try:
        checked.wait_for_workers(1, timeout=_WORKER_SECONDS)
        versions = checked.run(list_versions, fingerprint.compressions, on_error="return")
        threads: dict[str, int] = checked.nthreads()
    except TimeoutError as error:
        hint = f"start a worker with: dask worker {scheduler}"
        raise OutputError(subject, "no worker", "at least one", hint=hint) from error
    except OSError as error:
        raise OutputError(subject, error, "a Dask scheduler") from error
    fingerprint.check_workers(subject, versions)
    with DaskExecutor(checked, subject, fingerprint) as executor:
        yield BatchExecutor(
            executor, sum(threads.values()), _describe(threads, scheduler), _find_dashboard(checked), is_remote=True
        )


def _check_client(subject: str, client: object) -> Client:
    try:
        from distributed import Client
    except ImportError:
        is_client = False
    else:
        is_client = isinstance(client, Client)
        if isinstance(client, Client) and not client.asynchronous:
            return client
    found = "an asynchronous one" if is_client else short_repr(client)
    raise InvalidArgument(subject, found, "a distributed.Client that is not asynchronous")


def _open_client(address: str) -> Client:
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    _check_certificates(address)
    with warnings.catch_warnings():
        # Other versions of libraries that only Dask uses change no layer; `Fingerprint` checks the others.
        warnings.simplefilter("ignore", VersionMismatchWarning)
        try:
            return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except OSError as error:
            hint = "start a scheduler with: dask scheduler"
            raise OutputError(f"--on {address}", error, "a Dask scheduler", hint=hint) from error
        except (ValueError, TypeError, ImportError, RuntimeError) as error:
            raise InvalidArgument(f"--on {address}", error, "a Dask scheduler") from error


def _check_certificates(address: str) -> None:
    """Raise `InvalidArgument` if there are no certificates for TLS.

    Dask's client raises an error too, but then waits for its own end for 20 seconds, and prints another one.
    """
    from distributed.security import Security

    if not address.startswith("tls://"):
        return
    hint = "distributed.comm.tls in Dask's configuration names the files of ca-file, client.cert and client.key"
    try:
        context = Security().get_connection_args("client")["ssl_context"]
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"--on {address}", error, "certificates for TLS", hint=hint) from error
    if context is None:
        raise InvalidArgument(f"--on {address}", "none", "certificates for TLS", hint=hint)


def _describe(threads: dict[str, int], scheduler: str) -> str:
    workers = f"{len(threads)} Dask worker{'s' if len(threads) > 1 else ''}"
    total = sum(threads.values())
    return f"{workers}{f' with {total} threads' if total > len(threads) else ''} at {scheduler}"


def _find_dashboard(client: Client) -> str:
    with suppress(KeyError, OSError):  # a scheduler may have none
        return client.dashboard_link or ""
    return ""


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Turn off Dask's messages on stderr, which would get between those of lamina; errors come as exceptions too."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _NOISY_LOGGERS]
    loggers = [logging.getLogger(name) for name in {*_NOISY_LOGGERS, *names}]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
