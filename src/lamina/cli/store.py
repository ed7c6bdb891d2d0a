"""``lamina store``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.options import ledger_file, talk_options
from lamina.cli.output import one_line, say
from lamina.cli.talk import print_json, progress, warn
from lamina.errors import IntegrityError

if TYPE_CHECKING:
    from lamina.verifying import DamagedLayer, Verified


class _Commands(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            ctx.fail(f"got no command, expected one of {', '.join(self.commands)}")
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            ctx.fail(f"got command {args[0]!r}, expected one of {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(
    "store",
    cls=_Commands,
    short_help="The ledger rechecked: lamina store verify.",
    epilog="Example: lamina store verify",
)
def command() -> None:
    """What lamina keeps on this machine: so far its ledger, in which it has what earlier runs have found out."""


@command.command(
    "verify",
    short_help="Find out anew what the ledger knows of layers, and compare.",
    epilog="Example: lamina store verify --ledger /var/cache/lamina.sqlite",
)
@click.option("--ledger", metavar="PATH", help="The ledger to recheck.  [default: in the cache folder]")
@click.option(
    "--store",
    multiple=True,
    metavar="WHERE",
    help="A folder that holds nix/store, or a closure graph in JSON; repeat it, the first hit wins.  "
    "[default: the machine's own]",
)
@talk_options
def verify(ledger: str | None, store: tuple[str, ...], **flags: Any) -> None:
    """Hash anew every layer in the ledger whose store paths are there, and compare.

    Each of these paths is hashed as Nix does, too, and compared with its NAR hash. What is wrong is named and
    forgotten, so that the next image finds it out anew; then the exit code is 6. Layers whose paths are gone are
    counted and kept. A damaged path is mended by nix-store --repair-path.
    """
    place = ledger_file(ledger)
    with progress(flags) as watcher:
        verified = lamina.verify_ledger(ledger=place, store=store, progress=watcher)
    warn(verified.warnings, flags)
    if flags["as_json"]:
        print_json({"ledger": place, **_document(verified)})
    else:
        for layer in verified.damaged:
            say(one_line(_described(layer)))
        say(one_line(_summary(verified) if verified.exists else f"no ledger at {place}"))
    if verified.damaged:
        raise IntegrityError(
            _described(verified.damaged[0]),
            hint="what the ledger had of it is forgotten; nix-store --repair-path mends a damaged store path",
        )


def _described(layer: DamagedLayer) -> str:
    return f"layer {layer.diff_id} of {', '.join(map(str, layer.paths))}: {layer.reason}"


def _summary(verified: Verified) -> str:
    return (
        f"{verified.layers} layers: {verified.intact} as they were, {len(verified.damaged)} damaged, "
        f"{verified.absent} not here"
    )


def _document(verified: Verified) -> dict[str, Any]:
    return {
        "exists": verified.exists,
        "layers": verified.layers,
        "intact": verified.intact,
        "absent": verified.absent,
        "damaged": [
            {"diff_id": str(layer.diff_id), "paths": list(map(str, layer.paths)), "reason": layer.reason}
            for layer in verified.damaged
        ],
        "warnings": list(verified.warnings),
    }
