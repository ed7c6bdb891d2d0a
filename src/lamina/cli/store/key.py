"""``lamina store key``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.command import verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.stores import dump_key
from lamina.cli.lazy_group import CommandGroup
from lamina.cli.options import ReportOptions, output_option, result_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json
from lamina.errors import InvalidArgument


@click.group(
    "key",
    cls=CommandGroup,
    noun="command",
    summaries={"generate": "Make a key.", "public": "Show the public half of a key."},
    examples=("lamina store key generate cache.example.org-1 -o cache.key", "lamina store key public cache.key"),
)
def command() -> None:
    """Make and show the keys that sign store paths: Ed25519, in files as Nix has them."""


@verb("generate", "lamina store key generate cache.example.org-1 -o cache.key")
@click.argument("name", metavar="NAME", help="The name in each signature; by custom a host's, with a number.")
@output_option("FILE", "The file to write the secret key to. It must not exist yet.", required=True)
@result_options
def generate(name: str, output: str, report: ReportOptions) -> None:
    """Make a key called NAME: write the secret key to FILE, which only you can read, and print the public key.

    Give the public key to --trusted-key, or to trusted-public-keys in nix.conf.
    """
    if output == "-":
        raise InvalidArgument("output", "-", "a file, because the public key goes to stdout")
    _print_key(lamina.generate_key(name, output), output, report)


@verb("public", "lamina store key public cache.key")
@click.argument("file", metavar="FILE", help="The file of the secret key.", shell_complete=make_completer("file"))
@result_options
def public(file: str, report: ReportOptions) -> None:
    """Print the public half of the secret key in FILE."""
    _print_key(lamina.public_key(file), file, report)


command.add_command(generate)
command.add_command(public)


def _print_key(key: lamina.PublicKey, file: str, report: ReportOptions) -> None:
    if report.as_json:
        print_json(dump_key(key, file))
    else:
        print_stdout(str(key))
