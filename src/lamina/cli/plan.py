"""``lamina plan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.plans import ImageKey, dump_plan
from lamina.cli.html_page import html_option, write_page
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.plan_tables import print_plan, print_totals
from lamina.cli.reporting import explain, print_json, warn
from lamina.errors import Error, InvalidArgument, error_context
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.parsers import parse_layering
from lamina.inputs.siblings import SHARED

if TYPE_CHECKING:
    from lamina.api.plan_totals import RegistryTotals
    from lamina.builder.prepare import PlanResult
    from lamina.inputs.arguments import ImageArguments
    from lamina.layering import Layering


@verb(
    "plan",
    "lamina plan hello",
    "lamina plan hello --max-layers 20 --layering popularity",
    "lamina plan hello --html plan.html --compare popularity",
    "lamina plan --spec lamina.toml",
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
    is listed by the name of the largest and the number of the others. Each --platform has a plan of its own. --spec
    FILE without #NAME plans all images of the file, and compares what a registry stores for all of them with what it
    would store if each was planned alone by cost, or all together by shared.
    """
    from lamina.inputs.platforms import expand_platforms

    if compare == SHARED and image.given.get("layering") != SHARED:
        hint = "--layering shared --compare cost shows both"
        got = "shared, which plans the images of a spec file"
        raise InvalidArgument("--compare", got, "another layering", hint=hint)
    if compare and not html:
        raise InvalidArgument("--compare", "no --html", "--html FILE, the page that shows both plans")
    images = image.make_all_arguments()
    expanded = {
        ImageKey(table, platform): arguments
        for table, given in images.items()
        for platform, arguments in expand_platforms(given).items()
    }
    if html and len(expanded) > 1:
        got = f"{len(images)} images" if len(images) > 1 else f"{len(expanded)} platforms"
        expected = f"one {'image' if len(images) > 1 else 'platform'}, the plan of which the page shows"
        raise InvalidArgument("--html", got, expected)
    plans: dict[ImageKey, PlanResult] = {}
    warnings: list[str] = []
    for key, arguments in expanded.items():
        subject = key.describe(has_others=len(images) > 1)
        with error_context(subject, Error):
            plans[key] = planned = lamina.plan_layered_image(**arguments)
        explain(_add_subject(subject, planned.decisions), report)
        warnings += _add_subject(subject, planned.warnings)
        if html:
            warnings += _add_subject(subject, _write_page(html, planned, arguments, compare))
    warn(warnings, report)
    totals = _compare(images, plans) if len(images) > 1 else None
    if report.as_json:
        print_json(dump_plan(plans, warnings, totals))
        return
    for number, (key, planned) in enumerate(plans.items()):
        if len(plans) > 1:
            print_stdout(f"{'' if number == 0 else chr(10)}{key.title if len(images) > 1 else key.platform}")
        print_plan(planned, full=full)
    if totals:
        print_stdout("")
        print_totals(totals, len(plans))


def _compare(images: Mapping[str, ImageArguments], plans: Mapping[ImageKey, PlanResult]) -> RegistryTotals:
    from lamina.api.plan_totals import compare_plans

    return compare_plans(images, list(plans.values()))


def _add_subject(subject: str, texts: Sequence[str]) -> list[str]:
    """Return ``texts`` with the image that they are about before them, if there are several."""
    return [f"{subject}: {text}" if subject else text for text in texts]


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
