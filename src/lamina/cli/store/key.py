"""``lamina store key``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json
from lamina.errors import InvalidArgument


class _KeyGroup(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            ctx.fail(f"got no command, expected one of {', '.join(self.commands)}")
        return super().parse_args(ctx, args)


@click.group(
    "key",
    cls=_KeyGroup,
    short_help="Make a key to sign with, or show its public half.",
    epilog="Example: lamina store key generate cache.example.org-1 -o cache.key",
)
def command() -> None:
    """Keys that sign store paths: Ed25519, in the files that Nix has for them, too."""


@command.command(
    "generate",
    short_help="Make a key.",
    epilog="Example: lamina store key generate cache.example.org-1 -o cache.key",
)
@click.argument("name")
@click.option("-o", "--output", required=True, metavar="FILE", help="A new file for the secret key.")
@report_options
def generate(name: str, output: str, report: ReportOptions) -> None:
    """Make a key called NAME: the secret one goes to FILE, which only you can read, the public one to stdout.

    The public key is what --trusted-key, and trusted-public-keys in nix.conf, take. NAME stands in each signature; by
    custom it is a host's with a number. A FILE that is there is not written over.
    """
    if output == "-":
        raise InvalidArgument("output", "-", "a file, for stdout is for the public key")
    _print_key(lamina.generate_key(name, output), report)


@command.command("public", short_help="Show a key's public half.", epilog="Example: lamina store key public cache.key")
@click.argument("file")
@report_options
def public(file: str, report: ReportOptions) -> None:
    """Print the public half of the secret key in FILE."""
    _print_key(lamina.public_key(file), report)


def _print_key(key: lamina.PublicKey, report: ReportOptions) -> None:
    if report.as_json:
        print_json({"name": key.name, "public_key": str(key)})
    else:
        print_stdout(str(key))
