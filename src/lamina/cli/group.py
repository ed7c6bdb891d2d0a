"""The verbs by name.

Invariant: listing them imports none but what their first line needs, running one imports that one.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import click

import lamina
from lamina.errors import failed

# Verb to what ``lamina --help`` says of it; each is the command of the module of its name.
_VERBS = {
    "stream": "The image as a docker-archive on stdout, in one pass.",
    "build": "An image file, written whole or not at all.",
    "script": "An executable script that streams the image when it is run.",
    "plan": "Which store path goes to which layer; builds nothing.",
    "inspect": "What an image file or an OCI layout holds.",
    "merge": "Several images in one archive.",
    "export": "The root file system of an image as a tar.",
    "store": "The ledger rechecked: lamina store verify.",
}


class _Verbs(click.Group):
    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _pipe_watched():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _pipe_watched():
            return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            ctx.fail(f"got no verb, expected one of {', '.join(_VERBS)}")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"lamina.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _VERBS:
            ctx.fail(f"got verb {args[0]!r}, expected one of {', '.join(_VERBS)}")
        return super().resolve_command(ctx, args)


@contextlib.contextmanager
def _pipe_watched() -> Iterator[None]:
    """Keeps a closed pipe from click, which would end the process in a way of its own."""
    try:
        yield
    except BrokenPipeError as error:
        raise failed("pipe", error) from error


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: lamina stream /nix/store/…-hello-2.12.1 | docker load",
)
@click.version_option(lamina.__version__, message="lamina %(version)s")
def group() -> None:
    """Build and stream layered container images from Nix store paths.

    Needs no Nix, no Docker and no root to do so. stdout carries the result and nothing else.
    """
