"""The public functions that make a software bill of materials (SBOM)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack, get_args

from lamina.api.diff import read_image
from lamina.builder.architecture import resolve_root_for
from lamina.core.closure import Closure
from lamina.core.names import parse_datetime
from lamina.errors import InvalidArgument, NotFound, default_hint
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers import select
from lamina.images.software import SbomFormat, SbomResult, describe_closure, describe_image, dump_bill
from lamina.inputs.arguments import ARGUMENTS, StoreArguments, StrPath
from lamina.inputs.nix_build import build_roots
from lamina.inputs.parsers import parse_architecture, parse_path, parse_texts
from lamina.inputs.roots import MISSING_PATH_HINT
from lamina.inputs.spec import StoreSpec
from lamina.inputs.stores import open_store
from lamina.messages.redaction import short_repr

if TYPE_CHECKING:
    from lamina.core.progress import Progress
    from lamina.images.readers.source_image import InspectedImage
    from lamina.stores.store import Store

FORMATS = get_args(SbomFormat)
_DEFAULT_DATE = "1970-01-01T00:00:01Z"


def sbom(
    roots: StrPath | Iterable[StrPath],
    *,
    format: SbomFormat = "cyclonedx",  # noqa: A002 - the word of the command line, and of other functions
    created: str | datetime = _DEFAULT_DATE,
    platform: str | None = None,
    embedded_store: StrPath | None = None,
    search_path: str = "",
    **sources: Unpack[StoreArguments],
) -> SbomResult:
    """Return a software bill of materials (SBOM) of store paths and everything that they need.

    No store path is read or downloaded, except to choose by ``platform``. The same store paths, date and version of
    lamina give the same bytes.

    Args:
        roots: store paths, and what else an image can be made of: names of packages, links to store paths, and what Nix
            builds first.
        format: ``cyclonedx`` for CycloneDX 1.6 in JSON, or ``spdx`` for SPDX 2.3 in JSON.
        created: the date of the document: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.
        platform: of several store paths that have a name in ``roots``, take the one with programs for this platform,
            such as ``linux/arm64``. They are downloaded to find out.
        embedded_store: the folder of the embedded store, which is one of the default stores.
        search_path: where Nix is looked for, in the form of ``PATH``.
        **sources: those of `StoreArguments`.

    Returns:
        The document, its media type, and the store paths in it.

    Raises:
        InvalidArgument: an argument is wrong.
        NotFound: no store has a path.
        Unavailable: a store could not be read.
        FormatError: a narinfo or a closure graph does not follow its format.
        IntegrityError: a signature does not match.
        PlanError: the closure has a cycle.

    """
    kind, moment = parse_sbom_format("format", format), _parse_created(created)
    texts, spec = parse_texts("roots", roots), StoreSpec.parse(sources)
    architecture = parse_architecture("platform", platform)
    if not texts:
        raise InvalidArgument("roots", "none", "store paths or names of packages")
    warnings: list[str] = []
    with open_sbom_store(spec, embedded_store, warnings) as store:
        paths = [resolve_root_for(store, text, architecture).path for text in build_roots(texts, search_path)]
        with default_hint(MISSING_PATH_HINT, NotFound):
            closure = Closure.resolve(paths, store.query)  # nothing is read, so no source has to be confirmed
        bill = describe_closure(closure, paths, store, moment)
    return replace(dump_bill(bill, kind), warnings=tuple(warnings))


def image_sbom(
    image: StrPath,
    *,
    format: SbomFormat = "cyclonedx",  # noqa: A002 - the word of the command line, and of other functions
    created: str | datetime | None = None,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    embedded_store: StrPath | None = None,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> SbomResult:
    """Return a software bill of materials (SBOM) of the store paths in the layers of an image.

    An image holds neither hashes nor references of its store paths. They come from ``store``, and are left out without
    it. Of an image in a registry, only the manifest and the config are read.

    Args:
        image: a file or a folder, ``FILE#NAME`` for one of several images in it, or a reference to an image in a
            registry.
        format: as in `sbom`.
        created: the date of the document, as in `sbom`. By default that of the image.
        platform: the platform of one of several images, such as ``linux/arm64``.
        max_unpacked_size: as in `inspect`.
        insecure: whether a registry on another machine may be used over plain HTTP.
        embedded_store: the folder that keeps the store paths that binary caches send; as nothing is downloaded, it only
            answers for paths that it has.
        progress: receives the progress of reading the image.
        **sources: those of `StoreArguments`.

    Returns:
        The document, its media type, the store paths in it, and warnings about what is not known of the image.

    Raises:
        NotFound: the file has several images, or none of that name.
        Unavailable: a store could not be read.
        Error: what `inspect` raises.

    """
    kind = parse_sbom_format("format", format)
    moment = None if created is None else _parse_created(created)
    spec = StoreSpec.parse(sources)  # a wrong argument is an error even if no store is opened
    source = select.parse_source(image)
    if spec.offline and isinstance(source, RegistryReference):
        hint = f"fetch it first: lamina pull {source} -o image.tar"
        raise InvalidArgument("image", f"{source} and offline", "an image file or an OCI layout", hint=hint)
    read = read_image(
        image, platform=platform, max_unpacked_size=max_unpacked_size, insecure=insecure, progress=progress
    )
    warnings: list[str] = []
    with contextlib.ExitStack() as resources:
        opened = open_sbom_store(spec, embedded_store, warnings) if spec.store else None
        store = resources.enter_context(opened) if opened else None
        bill, more = describe_image(read, store, moment or find_created(read))
    return dump_bill(bill, kind, (*warnings, *more))


def parse_sbom_format(name: str, value: SbomFormat) -> SbomFormat:
    """Check the format of a document under the ``name`` that the user wrote. Raises `InvalidArgument`."""
    if value not in FORMATS:
        raise InvalidArgument(name, short_repr(value), f"one of {', '.join(FORMATS)}")
    return value


def _parse_created(value: str | datetime) -> datetime:
    moment: datetime | None = ARGUMENTS["created"].parse("created", value)
    return moment or datetime.now(UTC).replace(microsecond=0)


def find_created(image: InspectedImage) -> datetime:
    """Return the date of an image; the default one if the image states none, or an invalid one."""
    with contextlib.suppress(InvalidArgument):
        return parse_datetime(str(image.config.get("created")))
    return _parse_created(_DEFAULT_DATE)


def open_sbom_store(
    spec: StoreSpec, embedded_store: StrPath | None, warnings: list[str]
) -> contextlib.AbstractContextManager[Store]:
    """Open the stores that say what is known of store paths; problems with them are added to ``warnings``."""
    return open_store(spec, parse_path("embedded_store", embedded_store), warnings)
