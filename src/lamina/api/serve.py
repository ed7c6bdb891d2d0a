"""Serve images on demand, as a registry that clients pull from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lamina.api.served_catalog import ImageCatalog, check_image, name_images
from lamina.api.served_page import prepare_page
from lamina.core.callbacks import ignore
from lamina.errors import InvalidArgument
from lamina.images.blob_cache import MAX_SIZE
from lamina.inputs.arguments import ImageArguments
from lamina.inputs.blob_caches import BlobCaches
from lamina.inputs.listen_address import ListenAddress
from lamina.server.accounts import read_accounts
from lamina.server.asgi import RegistryApplication
from lamina.server.blob_files import BlobFiles
from lamina.server.guards import Guard, OpenGuard, PasswordGuard, TokenGuard
from lamina.server.images_on_demand import ImagesOnDemand
from lamina.server.metrics import OnAnswer, open_metrics
from lamina.server.running import RegistryServer, TlsFiles, listen
from lamina.server.token_endpoint import TokenEndpoint
from lamina.server.tokens import read_token_key
from lamina.system.cpus import cpu_count

DEFAULT_ADDRESS = "127.0.0.1:5000"
DEFAULT_BUILDS = 2
_ALL = ("*",)


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How a server behaves.

    Attributes:
        address: where it listens.
        allowed: patterns of the packages that a name may list; None for all if no image has a name of its own, else
            for none.
        max_size: how many bytes the store paths of an image may have; None for any number.
        max_builds: how many images are made at the same time.
        auth_file: the file of users and passwords; None for everybody.
        token_key: the file of the key with which tokens for these users are signed; None for no tokens.
        tls: the certificate; None for plain HTTP.
        is_public: whether everybody who reaches the address may pull.
    """

    address: ListenAddress = field(default_factory=lambda: ListenAddress.parse("listen", DEFAULT_ADDRESS))
    allowed: Sequence[str] | None = None
    max_size: int | None = None
    max_builds: int = DEFAULT_BUILDS
    auth_file: str | None = None
    token_key: str | None = None
    tls: TlsFiles | None = None
    is_public: bool = False


def serve_images(
    tables: Mapping[str, ImageArguments],
    by_name: ImageArguments,
    settings: ServeSettings,
    *,
    on_listening: Callable[[str], object] = ignore,
    on_answer: OnAnswer = ignore,
    warn: Callable[[str], object] = ignore,
) -> None:
    """Serve images until SIGINT or SIGTERM. Call it in the main thread.

    Args:
        tables: the arguments of images that have a name of their own, by the names of their tables.
        by_name: the arguments that all images of packages have in common.
        settings: how the server behaves.
        on_listening: is called with the URL of the server once it listens.
        on_answer: is called with each answer after it was sent.
        warn: is called with the text of each warning.

    Raises:
        InvalidArgument: an argument is wrong, a library is missing, or everybody on the network could pull.
        InputError: a file is missing, or cannot be read.
        FormatError: the file of passwords is invalid.
        OutputError: the address is in use, or there is no room for temporary files.

    """
    _check_exposure(settings)
    warnings: list[str] = []
    images = name_images(tables, warnings)
    allowed = settings.allowed if settings.allowed is not None else () if images else _ALL
    if allowed:
        check_image(by_name, warnings)
    guard, tokens = _open_guard(settings)
    metrics = open_metrics()
    for text in dict.fromkeys(warnings):
        warn(text)
    if settings.auth_file and not settings.tls and not settings.address.is_loopback:
        warn(f"{settings.address}: passwords are not encrypted without --tls-cert and --tls-key")
    with contextlib.closing(BlobFiles(MAX_SIZE, max(2, cpu_count()))) as files:
        blob_caches = BlobCaches(warn)
        catalog = ImageCatalog(images, by_name, allowed, files, settings.max_size, warn, blob_caches)
        on_demand = ImagesOnDemand(catalog, settings.max_builds)
        page = prepare_page(catalog, on_demand)
        application = RegistryApplication(on_demand, guard, metrics, on_answer, page, tokens)
        server = RegistryServer(application, settings.tls)
        with contextlib.closing(listen(settings.address.host, settings.address.port)) as listening:
            address = ListenAddress(settings.address.host, listening.getsockname()[1])
            on_listening(f"{'https' if settings.tls else 'http'}://{address}")
            server.run_until_signal(listening)
        application.close()
        blob_caches.close(wait=False)


def _check_exposure(settings: ServeSettings) -> None:
    if settings.auth_file and settings.is_public:
        raise InvalidArgument("--public", "it with --auth-file", "one of them: everybody may pull, or only its users")
    if settings.address.is_loopback or settings.auth_file or settings.is_public:
        return
    hint = "--auth-file FILE lets users with a password pull, --public everybody"
    raise InvalidArgument(
        "--listen", f"{settings.address}, which other machines reach", "an address of this machine", hint=hint
    )


def _open_guard(settings: ServeSettings) -> tuple[Guard, TokenEndpoint | None]:
    """Return what decides who may pull, and what gives tokens to users."""
    if not settings.auth_file:
        if settings.token_key:
            raise InvalidArgument("--token-key", "no --auth-file", "the users who get tokens")
        return OpenGuard(), None
    accounts = read_accounts("--auth-file", Path(settings.auth_file))
    if not settings.token_key:
        return PasswordGuard(accounts), None
    signer = read_token_key("--token-key", Path(settings.token_key))
    return TokenGuard(accounts, signer), TokenEndpoint(accounts, signer)
