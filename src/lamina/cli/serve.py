"""``lamina serve``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lamina.cli.command import option, verb
from lamina.cli.image_options import NO_CONTAINER_OPTIONS, ImageOptions
from lamina.cli.options import NUMBER, ReportOptions, argument_options, list_flags, server_options
from lamina.cli.output import flush, print_stdout
from lamina.cli.reporting import warn
from lamina.core.callbacks import ignore
from lamina.errors import InvalidArgument
from lamina.inputs.listen_address import ListenAddress
from lamina.inputs.parsers import parse_size
from lamina.inputs.platforms import parse_platforms
from lamina.inputs.served_names import parse_allowed
from lamina.messages.redaction import cut

if TYPE_CHECKING:
    from lamina.server.metrics import AnsweredRequest
    from lamina.server.running import TlsFiles

_SOURCES = ("store", "trusted_keys", "verify_signatures", "channel", "offline", "insecure")
_LAYERS = ("max_layers", "layering", "layer_compression", "extras")
_SPEED = ("jobs", "layer_cache", "blob_cache")

# A client decides how long a path and its query are. Those of real clients are shorter.
_MAX_LOGGED_PATH = 1000


@verb(
    "serve",
    "lamina serve",
    "lamina serve --spec lamina.toml --listen 127.0.0.1:8080",
    "lamina serve --listen 0.0.0.0:5000 --auth-file users",
)
@option(
    "--spec",
    section="image",
    completion="file",
    metavar="FILE[#NAME]",
    help="Serve the images of a TOML or JSON file. The name of an image is its name argument, or that of its table.",
)
@option(
    "--allow",
    section="image",
    multiple=True,
    parse=parse_allowed,
    metavar="PATTERN",
    help="Serve images of packages whose names match; * and ? stand for other characters.  [default: all packages; "
    "none with --spec]",
)
@option(
    "--platform",
    section="image",
    multiple=True,
    completion=("linux/amd64", "linux/arm64", "linux/arm/v7"),
    metavar="[OS/]ARCH[/VARIANT]",
    help="Serve packages for this platform, such as linux/arm64; given several times, each name is an index of the "
    "images for those platforms that the stores have it for.  [default: that of the first program]",
)
@option(
    "--max-size",
    section="image",
    parse=parse_size,
    metavar="SIZE",
    help="Refuse images whose store paths have more bytes, such as 4GiB.",
)
@option(
    "--listen",
    section="registry",
    parse=ListenAddress.parse,
    metavar="HOST:PORT",
    help="Listen on this address; port 0 takes a free one.  [default: 127.0.0.1:5000]",
)
@option(
    "--auth-file",
    section="registry",
    completion="file",
    metavar="FILE",
    help="Let only the users of this file pull, which htpasswd -B writes.",
)
@option(
    "--token-key",
    section="registry",
    completion="file",
    metavar="FILE",
    help="Give the users of --auth-file tokens that are valid for five minutes, signed with the secret in this file.",
)
@option("--public", section="registry", is_flag=True, help="Let everybody pull who reaches the address.")
@option(
    "--tls-cert",
    section="registry",
    completion="file",
    metavar="FILE",
    help="Use HTTPS with this certificate and its chain, in PEM.",
)
@option("--tls-key", section="registry", completion="file", metavar="FILE", help="The private key of --tls-cert.")
@option(
    "--max-builds",
    section="speed",
    type=NUMBER,
    metavar="N",
    help="Make at most this many images at the same time.  [default: 2]",
)
@argument_options("given", *list_flags(*_SOURCES, *_LAYERS, *_SPEED))
@server_options
def command(
    spec: str | None,
    allow: tuple[str, ...],
    platform: tuple[str, ...],
    max_size: int | None,
    listen: ListenAddress | None,
    auth_file: str | None,
    token_key: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    max_builds: int | None,
    given: Mapping[str, Any],
    report: ReportOptions,
    *,
    public: bool,
) -> None:
    """Serve images as a registry; each is made when a client first pulls it.

    HOST:PORT/hello is an image of the package hello, HOST:PORT/python3/git one of two packages, and HOST:PORT/arm64/git
    one for another architecture. Their tag is latest. A part of a name may also be the hash of a store path. Layers
    that the layer cache knows are made only for clients that lack them. Prints the URL, and on stderr a JSON document
    for each answer. A browser shows the images and their sizes at /. /metrics has numbers for Prometheus, /healthz and
    /readyz the state. SIGTERM and SIGINT stop the server after the answers that are being sent.
    """
    from lamina.api.serve import DEFAULT_ADDRESS, DEFAULT_BUILDS, ServeSettings, serve_images

    if max_builds is not None and max_builds < 1:
        raise InvalidArgument("--max-builds", max_builds, "at least 1")
    settings = ServeSettings(
        listen or ListenAddress.parse("--listen", DEFAULT_ADDRESS),
        allow or None,
        max_size,
        max_builds or DEFAULT_BUILDS,
        auth_file,
        token_key,
        _make_tls(tls_cert, tls_key),
        public,
    )
    images = ImageOptions(given, spec, NO_CONTAINER_OPTIONS, None)
    by_name = images._replace(spec_file=None).make_arguments()
    serve_images(
        images.make_all_arguments() if spec else {},
        {**by_name, "platforms": parse_platforms("--platform", platform)} if platform else by_name,
        settings,
        on_listening=_print_url,
        on_answer=ignore if report.quiet else _log,
        warn=lambda text: warn((text,), report),
    )


def _make_tls(certificate: str | None, key: str | None) -> TlsFiles | None:
    from lamina.server.running import TlsFiles

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, given = ("--tls-cert", "--tls-key") if certificate is None else ("--tls-key", "--tls-cert")
        raise InvalidArgument(missing, f"none, and {given}", "both or none of them")
    return TlsFiles(certificate, key)


def _print_url(url: str) -> None:
    print_stdout(url)
    flush()


def _log(answered: AnsweredRequest) -> None:
    """Print an answer as a JSON document in one line, whose control characters JSON escapes."""
    document = {
        "time": datetime.fromtimestamp(answered.time, UTC).isoformat(timespec="milliseconds"),
        "client": answered.client,
        **({"user": answered.user} if answered.user else {}),
        "method": answered.method,
        "path": cut(answered.path, _MAX_LOGGED_PATH),
        "status": answered.status,
        "bytes": answered.size,
        "seconds": round(answered.seconds, 6),
        **({"problem": answered.problem} if answered.problem else {}),
        **({} if answered.is_complete else {"complete": False}),
    }
    sys.stderr.write(f"{json.dumps(document)}\n")
    sys.stderr.flush()
