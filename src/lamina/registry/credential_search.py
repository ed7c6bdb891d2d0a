"""Search the files and helpers of docker and podman for credentials."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from threading import RLock
from typing import Self

from lamina.errors import FormatError, InputError, default_hint
from lamina.registry.credential_documents import EXPECTED, CredentialDocument
from lamina.registry.credential_helpers import ask_helper
from lamina.registry.credential_places import CredentialFile, CredentialPlaces, read_places
from lamina.registry.credentials import Credentials, suggest_login
from lamina.system.documents import read_document

_VARIABLE = "DOCKER_AUTH_CONFIG"
_MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class _ReadPlace:
    """A place after it was read. One that does not exist has an empty document, and a ``note`` that says so."""

    document: CredentialDocument
    note: str = ""

    def __str__(self) -> str:
        return f"{self.document.subject} ({self.note})" if self.note else self.document.subject


class CredentialSearch:
    """Finds credentials in ``places``; safe for many threads.

    Each file is read once, when credentials are first needed. A helper is asked each time, because its answer may
    expire.

    """

    def __init__(self, places: CredentialPlaces) -> None:
        self._places = places
        self._lock = RLock()
        self._read: tuple[_ReadPlace, ...] = ()
        self._sources: dict[str, str] = {}

    @classmethod
    def from_environment(cls) -> Self:
        """Return a search of the places of this process's user and environment. It reads no file yet."""
        return cls(read_places())

    def find(self, name: str) -> Credentials | None:
        """Return the credentials for ``name``, or None. The first place that has some wins.

        Args:
            name: ``HOST[:PORT]/REPOSITORY``; Docker Hub's host is ``docker.io``.

        Raises:
            InputError: a file cannot be read.
            FormatError: a file, or its entry for ``name``, is not in the format of docker and podman.
            AuthError: a helper is missing, or it failed.

        """
        with default_hint(f"correct it, or move it away and {self._suggest_login(name)}", FormatError, InputError):
            for place in self._read_places():
                if found := self._search(place.document, name):
                    return found
        return None

    def suggest_login(self, name: str) -> str:
        """Return a hint for a registry that refused what `find` returned for ``name``. It names the places."""
        login = self._suggest_login(name)
        if source := self._sources.get(name):
            return f"{login}; the credentials came from {source}"
        return f"{login}; no credentials in {', '.join(map(str, self._read_places()))}"

    def _search(self, document: CredentialDocument, name: str) -> Credentials | None:
        helper = document.find_helper(name)
        if helper and (found := ask_helper(helper, document.subject, self._places.search_path)):
            self._sources[name] = f"{helper.program}, which {document.subject} names"
            return found
        # As in podman, an entry does not count beside a helper for its registry.
        if helper and helper.key == "credHelpers":
            return None
        found = document.find_entry(name)
        if found:
            self._sources[name] = document.subject
        return found

    def _read_places(self) -> tuple[_ReadPlace, ...]:
        with self._lock:
            if not self._read:
                variable = [_parse_place(self._places.document, _VARIABLE)] if self._places.document else []
                self._read = (*variable, *map(_read_file, self._places.files))
            return self._read

    def _suggest_login(self, name: str) -> str:
        return suggest_login(name, self._places.login_command)


def _read_file(file: CredentialFile) -> _ReadPlace:
    """Read ``file``. It may be missing: docker and podman create it at the first login."""
    note = _find_absence(file)
    if note:
        return _parse_place(b"", str(file), note)
    # Nobody writes to a named pipe in a default place, and to open it would never end. A variable may name a pipe.
    if not file.may_be_pipe and os.path.exists(file.path) and stat.S_ISFIFO(os.stat(file.path).st_mode):
        raise InputError(str(file), "a named pipe", EXPECTED)
    return _parse_place(read_document(file.path, str(file), EXPECTED, limit=_MAX_BYTES), str(file))


def _find_absence(file: CredentialFile) -> str:
    """Return why ``file`` counts as absent, or nothing."""
    try:
        os.stat(file.path)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except PermissionError:
        # After su, XDG_RUNTIME_DIR may name the folder of another user.
        return "" if file.variable else "in a folder that cannot be opened"
    except OSError:
        return ""  # reading it says why
    return ""


def _parse_place(data: str | bytes, subject: str, note: str = "") -> _ReadPlace:
    return _ReadPlace(CredentialDocument.parse(data, subject), note)
