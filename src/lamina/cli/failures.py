"""How a run failed: its report on stderr, as lines for people or as one JSON document under ``--json``.

Invariant: the report has no secrets, as `lamina.errors.Error` and `lamina.cli.debug_traceback` remove them.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, NamedTuple

from lamina.cli.output import escape_controls, print_script_output
from lamina.cli.reporting import JSON_VERSION
from lamina.errors import Error, ScriptError
from lamina.messages.redaction import clean

if TYPE_CHECKING:
    from lamina.cli.documents.errors import FailureDocument

INTERRUPTED = 130
BUG = 1


class Failure(NamedTuple):
    """A failed run.

    It is a named tuple, because making a dataclass takes half a millisecond at every start. Nothing is imported to
    print it as lines: with too many open files, an import fails.

    Attributes:
        kind: The name of the error's family, such as ``InvalidArgument``; ``Interrupted``, or ``Bug``.
        message: The whole message in one line.
        subject: What the error is about; the whole message if there is no ``got``.
        got: What was found.
        expected: What should have been there.
        hint: What helps; empty if nothing is known to help.
        exit_code: The exit code of the process.
        output: The end of what a script printed.
        traceback: The lines of the traceback, for ``--debug``.
    """

    kind: str
    message: str
    exit_code: int
    subject: str = ""
    got: str = ""
    expected: str = ""
    hint: str = ""
    output: str = ""
    traceback: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException, *, debug: bool = False) -> Failure:
        """Describe ``error``; any other exception than an `Error` or `KeyboardInterrupt` is a bug in lamina."""
        traceback = _format_traceback(error) if debug else ()
        match error:
            case Error():
                output = error.output if isinstance(error, ScriptError) else ""
                fields = error.subject, error.got, error.expected, error.hint
                return cls(type(error).__name__, str(error), error.exit_code, *fields, output, traceback)
            case KeyboardInterrupt():
                return cls("Interrupted", "interrupted", INTERRUPTED, "interrupted")
        got = clean(f"{type(error).__name__}: {error}")
        subject, expected = "a bug in lamina", "no such thing"
        hint = "--debug shows where it happened; please report it"
        message = f"{subject}: got {got}, expected {expected}"
        return cls("Bug", message, BUG, subject, got, expected, hint, traceback=traceback)

    def to_document(self) -> FailureDocument:
        """Return the document; ``output`` and ``traceback`` are left out if they are empty."""
        document: FailureDocument = {
            "kind": self.kind,
            "message": self.message,
            "subject": self.subject,
            "got": self.got,
            "expected": self.expected,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }
        if self.output:
            document["output"] = self.output
        if self.traceback:
            document["traceback"] = list(self.traceback)
        return document

    def to_json(self) -> str:
        """Return the JSON document of a run that ends with it."""
        import json

        return json.dumps({"version": JSON_VERSION, "error": self.to_document()}, indent=2)

    def print(self, *, as_json: bool = False) -> None:
        """Print the report on stderr, as far as stderr can be written to."""
        with contextlib.suppress(OSError):
            if as_json:
                print(self.to_json(), file=sys.stderr)
            else:
                self._print_lines()

    def _print_lines(self) -> None:
        for line in self.traceback:
            print(escape_controls(line), file=sys.stderr)
        if self.output:
            print_script_output(self.output)
        print(escape_controls(f"lamina: {self.message}"), file=sys.stderr)
        if self.hint:
            print(escape_controls(f"hint: {self.hint}"), file=sys.stderr)


def _format_traceback(error: BaseException) -> tuple[str, ...]:
    from lamina.cli.debug_traceback import format_traceback

    return tuple(format_traceback(error))
