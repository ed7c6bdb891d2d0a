"""The repositories of a push: one connection for each, with the tags that are to move.

Several references may name several tags of one repository, several repositories of one registry, and several
registries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from lamina.core.names import Digest
from lamina.errors import AuthError, Error, FormatError, IntegrityError, RegistryError
from lamina.formats.registry_references import RegistryReference
from lamina.images.earlier_images import EarlierImage, read_earlier_image
from lamina.registry.connection import RegistryConnection

OpenRepository = Callable[[RegistryReference, bool], RegistryConnection]
"""Returns a connection to the repository of a reference, which may write if the second argument is true."""


@dataclass(frozen=True, slots=True)
class TargetRepository:
    """A repository that an image is pushed to.

    Attributes:
        connection: sends requests to it.
        references: its tags that are to move.
        earlier: the images that the tags named before, by tag.
    """

    connection: RegistryConnection
    references: tuple[RegistryReference, ...]
    earlier: Mapping[str, EarlierImage]

    @property
    def name(self) -> str:
        """Its name inside the registry."""
        return self.connection.repository

    @property
    def registry(self) -> str:
        """The host of its registry. A blob can be mounted from one repository of a registry to another."""
        return self.references[0].host


@dataclass(frozen=True, slots=True)
class RegistryDestination:
    """Where a push goes, and what images of registries are known to state about their layers.

    Attributes:
        references: what the user named, each once.
        repositories: the repositories to push to.
        caches: the images that the tags named before, and those of other references.
        warnings: messages about images that could not be read.
    """

    references: tuple[RegistryReference, ...]
    repositories: tuple[TargetRepository, ...]
    caches: tuple[EarlierImage, ...]
    warnings: tuple[str, ...]

    def find_sources(self, registry: str, digest: Digest) -> Iterator[str]:
        """Yield the repositories of ``registry`` that have the blob with ``digest``, as far as is known."""
        for image in self.caches:
            if image.reference.host == registry and digest in image.digests:
                yield image.reference.repository


@contextlib.contextmanager
def open_destination(
    references: Sequence[RegistryReference],
    cache_from: Sequence[RegistryReference] | None,
    open_repository: OpenRepository,
) -> Iterator[RegistryDestination]:
    """Connect to the repositories of ``references`` for the block, and read what their tags name now.

    Args:
        references: where to push to, each with a tag.
        cache_from: images whose layers are probably those that will be pushed; if it is empty, the images that
            ``references`` name now; None to take layers from no image.
        open_repository: makes a connection.

    Raises:
        AuthError: a registry refuses the credentials, or wants some.
        RegistryError: a registry failed.

    """
    distinct = tuple(dict.fromkeys(references))
    groups: dict[str, list[RegistryReference]] = {}
    for reference in distinct:
        groups.setdefault(reference.name, []).append(reference)
    with ExitStack() as stack:
        repositories = []
        for group in groups.values():
            connection = stack.enter_context(open_repository(group[0], True))
            repositories.append(TargetRepository(connection, tuple(group), _read_tags(connection, group)))
        own = tuple(earlier for repository in repositories for earlier in repository.earlier.values())
        warnings: list[str] = []
        named = _read_caches(cache_from or (), repositories, own, open_repository, warnings)
        caches = () if cache_from is None else (*named, *own)
        yield RegistryDestination(distinct, tuple(repositories), caches, tuple(warnings))


def _read_tags(connection: RegistryConnection, references: Sequence[RegistryReference]) -> dict[str, EarlierImage]:
    """Return the images that the tags name now. A tag that names no image that can be read is left out.

    They save work, and a push replaces them, so no defect of theirs may end it.
    """
    found: dict[str, EarlierImage] = {}
    for reference in references:
        with contextlib.suppress(FormatError, IntegrityError):
            if image := read_earlier_image(connection, reference, is_optional=True):
                found[reference.tag] = image
    return found


def _read_caches(
    references: Sequence[RegistryReference],
    repositories: Sequence[TargetRepository],
    own: Sequence[EarlierImage],
    open_repository: OpenRepository,
    warnings: list[str],
) -> tuple[EarlierImage, ...]:
    """Return the images of ``references``. One that cannot be read is a warning: it would only have saved work."""
    known = {str(image.reference): image for image in own}
    connections = {repository.connection.name: repository.connection for repository in repositories}
    found: list[EarlierImage] = []
    for reference in dict.fromkeys(references):
        image = known.get(str(reference))
        try:
            if image is None and reference.name in connections:
                image = read_earlier_image(connections[reference.name], reference)
            elif image is None:
                with open_repository(reference, False) as connection:
                    image = read_earlier_image(connection, reference)
        except (RegistryError, AuthError, FormatError, IntegrityError) as error:
            warnings.append(_explain(reference, error))
            continue
        if image is None:
            warnings.append(f"{reference}: got no such image, so nothing is taken from it")
        else:
            found.append(image)
    return tuple(found)


def _explain(reference: RegistryReference, error: Error) -> str:
    hint = f" ({error.hint})" if error.hint else ""
    return f"{reference}: nothing is taken from it: {error}{hint}"
