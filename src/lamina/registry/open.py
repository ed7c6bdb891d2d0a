"""Open a repository with the credentials that docker and podman have for it."""

from __future__ import annotations

from lamina.formats.registry_references import RegistryReference
from lamina.registry.connection import RegistryConnection
from lamina.registry.credential_search import CredentialSearch


def open_repository(
    reference: RegistryReference, *, insecure: bool = False, is_writer: bool = False
) -> RegistryConnection:
    """Return a connection to the repository of ``reference``. It sends nothing before the first request.

    Args:
        reference: names the repository.
        insecure: allow plain HTTP if the registry does not speak TLS.
        is_writer: ask for tokens that allow to write too.

    """
    search = CredentialSearch.from_environment()
    return RegistryConnection(
        reference, search.find, is_writer=is_writer, insecure=insecure, login_hint=search.suggest_login
    )
