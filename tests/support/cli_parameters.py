"""Every option and argument of every command that takes a value, read from click's objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lamina.cli.group import group

# These options are scripts: lamina runs them and does not print them, but they may print themselves.
_NOT_PRINTED = {"extra_commands", "fake_root_commands"}


def leaf_commands(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that is not a group, with its words on the command line."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner
            yield from leaf_commands(inner, *names, name)
    else:
        yield names, command


def parameters() -> Iterator[tuple[tuple[str, ...], str, click.Parameter]]:
    """Yield every option and argument that takes a value, after the words of its command."""
    for names, command in leaf_commands(group):
        for parameter in command.params:
            if parameter.name in _NOT_PRINTED or getattr(parameter, "is_flag", False):
                continue
            yield names, parameter.opts[-1] if isinstance(parameter, click.Option) else "", parameter


# The verbs that take the options of ``build``, which stands for them in the inner loop.
_ALIKE = ("stream", "script", "plan")
_MARKED = [pytest.mark.integration]
PARAMETERS = [
    pytest.param(
        *row, id=" ".join((*names, option or parameter.name or "")), marks=_MARKED if names[0] in _ALIKE else []
    )
    for row in parameters()
    for names, option, parameter in [row]
]


def arguments(names: tuple[str, ...], option: str, secret: str, folder: Path) -> list[str]:
    """Return a command line with ``secret`` as one of its values; the others are valid where possible."""
    words = [*names, *([f"{option}={secret}"] if option.startswith("--") else [option, secret] if option else [secret])]
    if names[0] in ("stream", "build", "script", "plan") and option != "--store":
        words += ["--store", str(folder / "root")]
    if names[0] in ("stream", "build", "script", "plan") and option:
        words += ["hello"]
    if names[0] in ("build", "script", "merge", "export") and option != "--output":
        words += ["-o", "out.tar"]
    if names == ("batch",):
        words += ["none.toml"] if option else []
        words += ["-o", "out/"] if option not in ("--output", "--to") else []
    if names[-1] == "push" and option != "--to":
        words += ["--to", f"file://{folder}/cache"]
    if names == ("serve",) and option != "--listen":
        # No machine has this address (RFC 5737), so the server ends at once whatever the other options are.
        words += ["--listen", "192.0.2.1:5000"]
        words += ["--public"] if option != "--auth-file" else []
    if names == ("store", "sign") and option != "--key":
        words += ["--key", str(folder / "none")]
    if names == ("store", "key", "generate") and option != "--output":
        words += ["-o", "key"]
    needed = {"merge": "none.tar", "export": "none.tar", "inspect": "none.tar", "fetch": "hello", "info": "hello"}
    if option and names[-1] in needed:
        words += [needed[names[-1]]]
    if option and names == ("store", "add"):
        words += [str(folder / "root")]
    if option and names in (("store", "key", "generate"), ("store", "key", "public"), ("store", "import")):
        words += ["name"]
    offline = ("stream", "build", "script", "plan", "fetch", "push", "verify")
    return [*words, *(["--offline"] if names[-1] in offline or names == ("store", "export") else [])]
