"""``lamina plan``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.images import dump_plan
from lamina.cli.html_page import html_option, write_page
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, format_count, print_json, warn
from lamina.cli.tables import Column, print_table
from lamina.core.labels import format_rate, summarize_layer_paths
from lamina.errors import Error, InvalidArgument, error_context
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.parsers import parse_layering
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.builder.prepare import PlanResult
    from lamina.layering import Layering, LayerPlan


@verb(
    "plan",
    "lamina plan hello",
    "lamina plan hello --max-layers 20 --layering popularity",
    "lamina plan hello --html plan.html --compare popularity",
)
@image_options("plan")
@option("--full", section="output", is_flag=True, help="List every store path of each layer, whole, with its own size.")
@html_option("Write a page that shows the layers, the references, and what a change of each store path re-sends.")
@option(
    "--compare",
    section="output",
    metavar=ARGUMENTS["layering"].flags[0].metavar,
    completion=ARGUMENTS["layering"].flags[0].completion,
    parse=parse_layering,
    help="Show the layers of this strategy beside them on the page, in the form of --layering.",
)
@decision_options
def command(image: ImageOptions, report: ReportOptions, *, full: bool, html: str | None, compare: Any) -> None:
    """Show which store path of the image of ROOT... goes to which layer, how large it is, and why.

    Nothing is built: no store path is read and no script runs, so a closure graph in --store is enough. What scripts
    and ready-made contents would add is not seen, and the customisation layer is not listed. A layer of several paths
    is listed by the name of the largest and the number of the others. Each --platform has a plan of its own.
    """
    from lamina.inputs.platforms import expand_platforms

    if compare and not html:
        raise InvalidArgument("--compare", "no --html", "--html FILE, the page that shows both plans")
    expanded = expand_platforms(image.make_arguments())
    if html and len(expanded) > 1:
        raise InvalidArgument("--html", f"{len(expanded)} platforms", "one platform, the plan of which the page shows")
    plans: dict[str, PlanResult] = {}
    warnings: list[str] = []
    for platform, arguments in expanded.items():
        with error_context(platform, Error):
            plans[platform] = planned = lamina.plan_layered_image(**arguments)
        explain(_name_platform(platform, planned.decisions), report)
        warnings += _name_platform(platform, planned.warnings)
        if html:
            warnings += _name_platform(platform, _write_page(html, planned, arguments, compare))
    warn(warnings, report)
    if report.as_json:
        print_json(dump_plan(plans, warnings))
        return
    for number, (platform, planned) in enumerate(plans.items()):
        if len(plans) > 1:
            print_stdout(f"{'' if number == 0 else chr(10)}{platform}")
        _print_plan(planned, full=full)


def _name_platform(platform: str, texts: Sequence[str]) -> list[str]:
    """Return ``texts`` with the platform of their image before them, if there is one."""
    return [f"{platform}: {text}" if platform else text for text in texts]


def _write_page(file: str, planned: PlanResult, arguments: Mapping[str, Any], layering: Layering | None) -> list[str]:
    """Write the page of a plan, beside that of ``layering`` if it is given; return the warnings that only this has."""
    from lamina.layering import uses_rates
    from lamina.reports.plan_page import DrawnPlan, make_plan_page

    ignored = () if layering and uses_rates(layering) else ("history", "rates")
    given = {name: value for name, value in arguments.items() if name not in ignored}
    others = [lamina.plan_layered_image(**{**given, "layering": layering})] if layering else []
    plans = [DrawnPlan(plan.strategy, plan.layers) for plan in (planned, *others)]
    write_page(file, make_plan_page(planned.name, planned.closure, plans))
    return [warning for other in others for warning in other.warnings if warning not in planned.warnings]


def _print_plan(planned: PlanResult, *, full: bool) -> None:
    _print_layers(planned.layers, full=full)
    total = sum(layer.nar_size for layer in planned.layers)
    paths = sum(len(layer.paths) for layer in planned.layers)
    layers = format_count(len(planned.layers), "layer")
    print_stdout(f"{layers}, {format_count(paths, 'store path')}, {format_size(total)}")


def _print_layers(layers: Sequence[LayerPlan], *, full: bool) -> None:
    has_rates = any(layer.rate is not None for layer in layers)
    columns = [
        Column("LAYER", is_number=True),
        Column("SIZE", is_number=True),
        *([Column("RATE", is_number=True)] if has_rates else []),
        Column("PATH" if full else "PATHS", is_flexible=True),
        Column("WHY", is_flexible=True, style="dim"),
    ]
    list_paths = _list_paths if full else _summarize_paths
    rows = (
        (str(number), size, *([format_rate(layer.rate)] if has_rates else []), paths, layer.reason)
        for number, layer in enumerate(layers, 1)
        for size, paths in list_paths(layer)
    )
    print_table(columns, rows, is_whole=full)


def _summarize_paths(layer: LayerPlan) -> Iterator[tuple[str, str]]:
    sizes = [size for _, size in layer.nars]
    yield format_size(layer.nar_size), summarize_layer_paths(layer.paths, sizes)


def _list_paths(layer: LayerPlan) -> Iterator[tuple[str, str]]:
    for path, (_, size) in zip(layer.paths, layer.nars, strict=True):
        yield format_size(size), str(path)
