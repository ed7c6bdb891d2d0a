"""``lamina run``."""

from __future__ import annotations

import sys

import click

from lamina.cli.command import VerbCommand, verb
from lamina.cli.image_loading import into_option, load_image
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import flush
from lamina.errors import InvalidArgument

_SEPARATOR = "--"


class _RunCommand(VerbCommand):
    """A command whose words after ``--`` are those of the container."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what is before the first ``--``, and keep what is after it as ``words``."""
        place = args.index(_SEPARATOR) if _SEPARATOR in args else len(args)
        rest = super().parse_args(ctx, args[:place])
        ctx.params["words"] = tuple(args[place + 1 :])
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the parts of the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]


@verb(
    "run",
    "lamina run hello --cmd /bin/hello",
    "lamina run bash coreutils -- /bin/bash -c 'ls /bin'",
    kind=_RunCommand,
)
@into_option()
@image_options("plan", "draft", "write")
@report_options
def command(into: str | None, words: tuple[str, ...], image: ImageOptions, report: ReportOptions) -> None:
    """Load the image of ROOT... into a container engine, as lamina load does, and start it there.

    ARGS after -- are what the engine gets after the image's name: the command, or its arguments if the image has an
    entrypoint. The container is removed at the end, and the image stays. The exit code is that of the container.
    """
    from lamina.engines.find import find_engine

    if report.as_json:
        raise InvalidArgument("--json", "it with run", "lamina load --json, because stdout is the container's")
    loaded = load_image(into, image.make_arguments(), report)
    engine = find_engine(loaded.engine)
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    flush()
    sys.exit(engine.run(loaded.repo_tag, words, has_terminal=has_terminal))
