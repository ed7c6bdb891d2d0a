"""Run the ``lamina`` command: find the verb and call it.

Invariant: only the verb that runs is imported; ``--version`` imports no verb, and not even click.
"""

from __future__ import annotations

import sys

import lamina

TYPE_CHECKING = False  # as in typing, whose import takes longer than printing the version
if TYPE_CHECKING:
    import click

    from lamina.errors import InvalidArgument


def main() -> None:
    """Run the command line and end the process with its exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"] and _print_version():
        sys.exit(0)
    from lamina.cli.exits import run_to_exit_code

    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    sys.exit(run_to_exit_code(lambda: _run(arguments), debug="--debug" in options, as_json="--json" in options))


def _print_version() -> bool:
    """Print the version and return whether that worked.

    If it did not, the caller takes the usual way through click, which reports the cause.
    """
    try:
        sys.stdout.write(f"lamina {lamina.__version__}\n")
        sys.stdout.flush()
    except (OSError, AttributeError, ValueError):
        return False
    return True


def _run(arguments: list[str]) -> None:
    import gc

    gc.disable()  # imports make hardly any garbage; `LazyGroup` turns the collector on for the command
    import click

    from lamina.cli.group import group

    try:
        group.main(arguments, prog_name="lamina", standalone_mode=False)
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        raise _translate_usage_error(error).add_hint(_format_help_hint(error)) from error
    finally:
        gc.enable()


def _translate_usage_error(error: click.ClickException) -> InvalidArgument:
    """Translate click's own sentence for ``error``."""
    import re

    import click

    from lamina.errors import InvalidArgument
    from lamina.messages.redaction import clean_value, cut

    text = error.format_message().rstrip(".")
    match error:
        case click.MissingParameter():
            return InvalidArgument(_format_parameter(error), "none", "one")
        case click.BadParameter():
            value, _, expected = error.message.rstrip(".").rpartition(" is not ")
            got = cut(clean_value(value)) if value else "another"
            return InvalidArgument(_format_parameter(error), got, expected)
        case click.NoSuchOption():
            parameters = error.ctx.command.params if error.ctx else ()
            hidden = {name for option in parameters if getattr(option, "hidden", False) for name in option.opts}
            close = " or ".join(sorted(set(error.possibilities or ()) - hidden))
            option = cut(clean_value(error.option_name))
            return InvalidArgument("usage", f"option {option}", close or "one of those that there are")
        case click.BadOptionUsage():
            got, expected = ("no value", "one") if text.endswith("requires an argument") else ("a value", "none")
            return InvalidArgument(error.option_name, got, expected)
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)", text, re.DOTALL)
    if extra:
        got = f"unexpected extra argument ({cut(clean_value(extra[1]))})"
        return InvalidArgument("usage", got, "no such thing")
    text = re.sub("'.*'", lambda found: cut(clean_value(found[0])), text, flags=re.DOTALL)
    return InvalidArgument(
        f"usage: {text[:1].lower()}{text[1:]}{'' if ', expected ' in text else ', expected no such thing'}"
    )


def _format_parameter(error: click.BadParameter) -> str:
    name = error.param.get_error_hint(error.ctx) if error.param and error.ctx else error.param_hint or "usage"
    return str(name).replace("'", "")


def _format_help_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'lamina'} --help"
