"""The document of an error."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict


class FailureDocument(TypedDict):
    """An error: what it is about, what was found, what was expected, and what helps."""

    kind: Annotated[str, "The name of the error's class in Python, Interrupted, or Bug for a bug in lamina."]
    message: Annotated[str, "The whole message in one line."]
    subject: Annotated[str, "What the error is about; the whole message if there is no got."]
    got: Annotated[str, "What was found; empty if the message says it."]
    expected: Annotated[str, "What should have been there; empty if the message says it."]
    hint: Annotated[str, "What helps; empty if nothing is known to help."]
    exit_code: Annotated[int, "The exit code of the process."]
    output: NotRequired[Annotated[str, "The end of what a script printed."]]
    traceback: NotRequired[Annotated[list[str], "The lines of the traceback, with --debug."]]


class ErrorDocument(TypedDict):
    """An error, printed on stderr in place of a message."""

    error: Annotated[FailureDocument, "The error."]
