"""The tree of lamina's errors, and the exit code of each family.

Every problem with the input or the machine raises one of these. Any other exception is a bug in lamina.

Error:
    ├── InvalidArgument  2   a wrong name, date, config or argument
    ├── FormatError      3   bytes that do not follow their format; a socket or device in a tree
    ├── PlanError        4   an impossible plan
    ├── StoreError       5   the store lacks the path, or it could not be read
    │   ├── NotFound     5   no such path, or a name that matches none or several
    │   └── Unavailable  5   the store itself could not be read
    │       └── Unreachable  5   its server does not answer
    ├── IntegrityError   6   a hash, size or signature that does not match; a file that changed while it was read
    ├── RegistryError    7   a registry failed, does not answer, or lacks the image
    ├── AuthError        8   a registry refused the credentials, or wants some
    ├── ScriptError      9   a customisation script failed
    ├── OutputError     10   the result could not be written
    └── InputError      11   a file that the user named is missing, or could not be read

A message reads ``subject: got X, expected Y``. A hint names the flag or command that helps.

"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from lamina.messages.redaction import MAX_MESSAGE_LENGTH, MAX_SUBJECT_LENGTH, clean, cut

_Kind = TypeVar("_Kind", bound="Error")


class Error(Exception):
    """The root of the tree. ``str(error)`` is one line: ``SUBJECT: got GOT, expected EXPECTED``.

    `lamina.messages.redaction.clean` removes secrets from each field, and shortens long values.

    Args:
        subject: What the error is about, for example the name of a file; the whole message if there is no ``got``.
        got: What was found, or the exception that describes it.
        expected: What was expected instead.
        hint: A flag or command that helps; empty if there is none.
        is_transient: Whether the same work may succeed when it is tried again later: a server did not answer, or
            answered that it may do so later. It has been asked several times already.
    """

    exit_code = 1

    def __init__(
        self,
        subject: object = "",
        got: object = "",
        expected: object = "",
        *,
        hint: str = "",
        is_transient: bool = False,
    ) -> None:
        super().__init__()
        self.subject: str = clean(str(subject))
        self.got: str = clean(_describe(got))
        self.expected: str = clean(str(expected))
        self.hint: str = clean(hint)
        self.is_transient: bool = is_transient

    def __str__(self) -> str:
        if not self.got and not self.expected:
            return cut(self.subject, MAX_MESSAGE_LENGTH)
        subject = f"{cut(self.subject, MAX_SUBJECT_LENGTH)}: " if self.subject else ""
        return cut(f"{subject}got {self.got}, expected {self.expected}", MAX_MESSAGE_LENGTH)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def add_context(self, context: object) -> Self:
        """Put ``context`` in front of the subject, unless the subject begins with it; return the error."""
        text = clean(str(context))
        if self.subject != text and not self.subject.startswith(f"{text}: "):
            self.subject = ": ".join(filter(None, (text, self.subject)))
        return self

    def add_hint(self, hint: str) -> Self:
        """Append ``hint`` to the hint of the error, and return the error."""
        self.hint = "; ".join(filter(None, (self.hint, clean(hint))))
        return self

    def convert(self, kind: type[_Kind]) -> _Kind:
        """Return an error of the family ``kind`` with the same fields."""
        converted = kind(self.subject, self.got, self.expected, hint=self.hint)
        converted.is_transient = self.is_transient
        return converted


def _describe(value: object) -> str:
    text = (isinstance(value, OSError) and value.strerror) or str(value)  # without the number and the name of the file
    return text or (type(value).__name__ if isinstance(value, Exception) else "")


@contextmanager
def error_context(context: object, *kinds: type[Error]) -> Iterator[None]:
    """Put ``context`` in front of the subject of an error of ``kinds`` that the block raises."""
    try:
        yield
    except kinds as error:
        error.add_context(context)
        raise


@contextmanager
def default_hint(hint: str, *kinds: type[Error]) -> Iterator[None]:
    """Give an error of ``kinds`` that the block raises ``hint``, unless it has one."""
    try:
        yield
    except kinds as error:
        error.hint = error.hint or clean(hint)
        raise


def output_error(name: object, error: OSError) -> OutputError:
    """Return the error for an output called ``name`` that could not be written."""
    hint = "create its folder first" if isinstance(error, FileNotFoundError) else ""
    return OutputError(name, error, "to write the result there", hint=hint)


class InvalidArgument(Error):
    """A wrong name, date, config or argument."""

    exit_code = 2


class FormatError(Error):
    """Bytes that do not follow their format, or a file that no format can hold, such as a socket."""

    exit_code = 3


class PlanError(Error):
    """An impossible plan: too few layers, or a closure with a cycle."""

    exit_code = 4


class StoreError(Error):
    """The store lacks the path, or it could not be read."""

    exit_code = 5


class NotFound(StoreError):
    """The store lacks the path, or a name matches no path or several."""


class Unavailable(StoreError):
    """The store itself could not be read."""


class Unreachable(Unavailable):
    """The server of a store does not answer, so other requests to it will fail too."""


class IntegrityError(Error):
    """A hash, size or signature that does not match, or a file that changed while it was read."""

    exit_code = 6


class RegistryError(Error):
    """A registry failed, does not answer, lacks what was asked for, or broke the protocol."""

    exit_code = 7


class AuthError(Error):
    """A registry, or its token server, refused the credentials or wants some (401, 403), or a helper gave none."""

    exit_code = 8


class ScriptError(Error):
    """A customisation script failed or ran out of time; ``output`` is the end of what it printed."""

    exit_code = 9

    def __init__(
        self, subject: object = "", got: object = "", expected: object = "", *, hint: str = "", output: str = ""
    ) -> None:
        super().__init__(subject, got=got, expected=expected, hint=hint)
        self.output = output


class OutputError(Error):
    """The result could not be written."""

    exit_code = 10


class InputError(Error):
    """A file that the user named, such as a spec, a key or an image, is missing or could not be read."""

    exit_code = 11
