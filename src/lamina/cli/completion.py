"""``lamina completion``."""

from __future__ import annotations

import click

from lamina.cli.command import verb
from lamina.cli.output import print_stdout

_SHELLS = ("bash", "zsh", "fish")
# click completes when this variable is set; its name follows from that of the program.
_VARIABLE = "_LAMINA_COMPLETE"


@verb(
    "completion",
    'eval "$(lamina completion bash)"',
    'eval "$(lamina completion zsh)"',
    "lamina completion fish | source",
)
@click.argument("shell", type=click.Choice(_SHELLS), metavar="bash|zsh|fish", help="The shell that reads the script.")
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script with which a shell completes verbs, options and their values.

    The first example line is for ~/.bashrc, the second for ~/.zshrc after compinit, and the third for
    ~/.config/fish/config.fish.
    """
    from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

    classes: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    completion = classes[shell](ctx.find_root().command, {}, "lamina", _VARIABLE)
    # Not `BashComplete.source`, which runs bash to see its version.
    print_stdout(ShellComplete.source(completion).rstrip())
