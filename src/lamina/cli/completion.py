"""``lamina completion``, and the shells' requests for completions."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from lamina.cli.command import verb
from lamina.cli.group import COMPLETION_VARIABLE
from lamina.cli.options import Choice
from lamina.cli.output import print_stdout


class BashWords(BashComplete):
    """Reads the words of a command line as bash splits them: an equals sign is a word of its own."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one."""
        words, incomplete = super().get_completion_args()
        return [word for word in words if word != "="], incomplete.removeprefix("=")


class _WholeWords(ShellComplete):
    """Completes ``--option=value`` by the whole word, because the shell replaces the whole word."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return the completions of the word ``incomplete`` after ``args``."""
        option, equals, _ = incomplete.partition("=")
        found = super().get_completions(args, incomplete)
        if equals and option.startswith("--"):
            for item in found:
                item.value = f"{option}={item.value}"
        return found


class ZshWords(_WholeWords, ZshComplete):
    """Completes in zsh; the files of ``--option=FILE`` are those of the part after the equals sign."""

    source_template = ZshComplete.source_template.replace(
        "            _path_files", "            [[ $PREFIX == --*=* ]] && compset -P 1 '*='\n            _path_files"
    )


class FishWords(_WholeWords, FishComplete):
    """Completes in fish; click's script cuts a value off at its first comma."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashWords, "zsh": ZshWords, "fish": FishWords}


def prepare_completion() -> None:
    """Make click use the classes of this module where it answers a shell."""
    for shell in _SHELLS.values():
        add_completion_class(shell)


@verb(
    "completion",
    'eval "$(lamina completion bash)"',
    'eval "$(lamina completion zsh)"',
    "lamina completion fish | source",
)
@click.argument("shell", type=Choice(tuple(_SHELLS)), metavar="bash|zsh|fish", help="The shell that reads the script.")
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script with which a shell completes verbs, options and their values.

    The first example is a line for ~/.bashrc, the second for ~/.zshrc after compinit, and the third for
    ~/.config/fish/config.fish.
    """
    completion = _SHELLS[shell](ctx.find_root().command, {}, "lamina", COMPLETION_VARIABLE)
    # Not the method of bash's own class, which runs bash to see its version.
    print_stdout(ShellComplete.source(completion).rstrip())
