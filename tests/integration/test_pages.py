"""The pages of ``lamina plan --html`` and ``lamina diff --html`` in Chromium."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from tests.integration.browser import find_violations, open_page
from tests.support.embedded_store import ROOT, fetch_example
from tests.support.fake_nix_store import run
from tests.support.large_closures import make_closure

from lamina.core.closure import Closure
from lamina.layering import plan
from lamina.messages.sizes import format_size
from lamina.reports.changes import find_changed, find_effects
from lamina.reports.plan_page import DrawnPlan, make_plan_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

GRAPH = make_closure(120)
STRATEGIES = ("auto", "popularity")
SCREENS: Sequence[tuple[int, Literal["light", "dark"]]] = ((1280, "light"), (360, "dark"))


def write_plan(folder: Path, graph: Closure, *strategies: str) -> Path:
    """Write the page of a closure's plans with at most 30 layers."""
    plans = [DrawnPlan(name, plan(graph, max_layers=30, strategy=name)) for name in strategies]
    file = folder / "plan.html"
    file.write_bytes(make_plan_page("app", graph, plans))
    return file


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `GRAPH`, planned by both `STRATEGIES`."""
    return write_plan(tmp_path_factory.mktemp("plan"), GRAPH, *STRATEGIES)


@pytest.fixture
def page(browser: "Browser", plan_file: Path) -> Iterator["Page"]:
    """The page of the plans, opened."""
    with open_page(browser, plan_file) as opened:
        yield opened


@pytest.fixture(scope="module")
def diff_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that ``lamina diff`` writes about two images of the example."""
    folder = tmp_path_factory.mktemp("diff")
    fetch_example(folder / "store")
    for tag, layers in (("1", 4), ("2", 5)):
        image = folder / f"{tag}.tar"
        options = ("--store", folder / "store", "-t", f"hello:{tag}", "--max-layers", layers, "-o", image)
        assert run("build", ROOT, *map(str, options)).code == 0
    file = folder / "diff.html"
    assert run("diff", folder / "1.tar", folder / "2.tar", "--html", file).code == 0
    return file


def describe_change(graph: Closure, name: str) -> str:
    """Return what the page says when the path is chosen, worked out in Python."""
    changed = find_changed(graph)
    sizes = [info.nar_size for info in graph]
    (number,) = (number for number, info in enumerate(graph) if info.path.name == name)
    texts = []
    for strategy in STRATEGIES:
        layers = [
            [graph.numbers[path] for path in layer.paths] for layer in plan(graph, max_layers=30, strategy=strategy)
        ]
        effect = find_effects(changed, layers, sizes)[number]
        count = f"{len(effect.layers)} layer{'' if len(effect.layers) == 1 else 's'}"
        texts.append(f"{count}, {format_size(effect.size)} of {format_size(sum(sizes))}")
    paths = changed[number].bit_count()
    first = f"A change of {name} changes {paths} store path{'' if paths == 1 else 's'} and re-sends {texts[0]}."
    return f"{first} With popularity: {texts[1]}."


def get_name(number: int) -> str:
    return GRAPH.infos[number].path.name


def count_nodes(page: "Page") -> int:
    found: int = page.evaluate("document.querySelectorAll('*').length")
    return found


def test_a_click_on_a_rectangle_says_what_a_change_sends(page: "Page") -> None:
    cell = page.locator(".treemap").first.locator(".cell").nth(3)
    name = (cell.get_attribute("aria-label") or "").partition(",")[0]
    cell.click()
    assert page.locator("#sentence").text_content() == describe_change(GRAPH, name)
    assert page.locator("#sentence").get_attribute("aria-live") == "polite"
    assert cell.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#sentence").text_content() == "Choose a store path to see what its change re-sends."
    assert page.locator(".cell.changed, .cell.sent, tr.sent").count() == 0


def test_every_path_is_worked_out_as_in_python(page: "Page") -> None:
    """The scripts find the same paths, layers and bytes for each path that may change."""
    found = page.evaluate(
        """() => {
        const model = loadModel();
        return model.names.map((_, number) => {
            const changed = findChanged(model, number);
            return [changed.size, ...model.plans.map((plan) => findSent(plan, changed).size)];
        });
    }"""
    )
    changed = find_changed(GRAPH)
    sizes = [info.nar_size for info in GRAPH]
    expected = [[mask.bit_count()] for mask in changed]
    for strategy in STRATEGIES:
        layers = [
            [GRAPH.numbers[path] for path in layer.paths] for layer in plan(GRAPH, max_layers=30, strategy=strategy)
        ]
        for row, effect in zip(expected, find_effects(changed, layers, sizes), strict=True):
            row.append(effect.size)
    assert found == expected


def test_sizes_are_written_as_everywhere_in_lamina(page: "Page") -> None:
    sizes = [0, 1, 1023, 1024, 1280, 1300, 1331, 102348, 102349, 102400, 1023 * 1024 + 511, 1023 * 1024 + 512]
    sizes += [size * step // 16 for size in (1 << 10, 1 << 20, 1 << 30, 1 << 40) for step in range(1, 400, 7)]
    assert page.evaluate("sizes => sizes.map(formatSize)", sizes) == list(map(format_size, sizes))


def test_marked_rectangles_and_rows_are_those_that_are_sent(page: "Page") -> None:
    page.locator(".treemap").first.locator(".cell").nth(8).click()
    for index in range(len(STRATEGIES)):
        table = page.locator(f"table.layers[data-plan='{index}']")
        sent = set(table.locator("tbody tr.sent").evaluate_all("rows => rows.map(row => row.dataset.layer)"))
        marked = page.locator(f".treemap[data-plan='{index}'] :is(.changed, .sent).cell")
        assert sent
        assert set(marked.evaluate_all("cells => cells.map(cell => cell.dataset.layer)")) == sent
        assert set(table.locator("tr.sent .state").all_text_contents()) == {"re-sent"}


def test_drawn_areas_are_in_proportion_to_bytes(page: "Page") -> None:
    boxes = page.locator(".treemap[data-plan='0'] .cell").evaluate_all(
        "cells => cells.map(cell => [Number(cell.dataset.path), cell.width.baseVal.value * cell.height.baseVal.value])"
    )
    whole = sum(area for _, area in boxes)
    total = sum(info.nar_size for info in GRAPH)
    for number, area in boxes:
        assert area / whole == pytest.approx(GRAPH.infos[number].nar_size / total, rel=0.05, abs=1e-5)


def test_the_keyboard_reaches_every_rectangle(page: "Page") -> None:
    """One tab stop leads into the treemap, and arrow keys move in it."""
    treemap = page.locator(".treemap").first
    cells = treemap.locator(".cell").evaluate_all("cells => cells.map(cell => cell.dataset.path)")
    treemap.locator(".cell[tabindex='0']").focus()
    page.evaluate("window.reached = []")
    treemap.evaluate("svg => svg.addEventListener('focusin', (event) => reached.push(event.target.dataset.path))")
    for _ in cells:
        page.keyboard.press("ArrowRight")
    assert page.evaluate("reached") == cells[1:]
    assert treemap.locator(".cell[tabindex='0']").count() == 1
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.layer") != treemap.locator(".cell").first.get_attribute(
        "data-layer"
    )
    page.keyboard.press("Enter")
    chosen = int(page.evaluate("document.activeElement.dataset.path"))
    assert page.locator("#sentence").text_content() == describe_change(GRAPH, get_name(chosen))
    page.keyboard.press("Escape")
    assert page.locator("#sentence").text_content() == "Choose a store path to see what its change re-sends."


def test_a_ring_shows_the_path_with_the_focus_and_the_chosen_one(page: "Page") -> None:
    read_place = "rectangle => ['x', 'y', 'width', 'height'].map(name => rectangle[name].baseVal.value)"
    treemap = page.locator(".treemap").first
    treemap.locator(".cell[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    for name, index in (("chosen", 1), ("focused", 2)):
        ring = treemap.locator(f".ring.{name}")
        assert ring.evaluate(read_place) == treemap.locator(".cell").nth(index).evaluate(read_place)
        assert ring.evaluate("ring => getComputedStyle(ring).display") == "inline"
    page.keyboard.press("Escape")
    assert treemap.locator(".ring.chosen").evaluate("ring => getComputedStyle(ring).display") == "none"


def test_the_tab_key_stops_once_in_each_part(page: "Page") -> None:
    page.locator("#search").focus()
    stops = []
    for _ in range(12):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate("(document.activeElement.closest('#paths tbody, .treemap, .scroller') || {}).tagName")
        )
    assert stops.count("TBODY") == 1
    assert stops.count("svg") == len(STRATEGIES)


def test_a_search_narrows_the_list_and_enter_takes_the_first(page: "Page") -> None:
    page.locator("#search").fill("package11")
    names = page.locator("#path-rows button").all_text_contents()
    assert {name.partition("-")[0] for name in names} == {"package11", *(f"package11{digit}" for digit in range(10))}
    assert page.locator("#count").text_content() == "11 of 120 store paths"
    page.locator("#search").press("Enter")
    assert page.locator("#sentence").text_content() == describe_change(GRAPH, names[0])
    page.locator("#search").fill("nothing of that name")
    assert page.locator("#count").text_content() == "0 of 120 store paths"


def test_the_list_is_sorted_by_each_column(page: "Page") -> None:
    sizes = {info.path.name: info.nar_size for info in GRAPH}
    page.get_by_role("button", name="Size").click()
    names = page.locator("#path-rows button").all_text_contents()
    assert names == sorted(names, key=sizes.__getitem__, reverse=True)
    page.get_by_role("button", name="Size").click()
    assert page.locator("#path-rows button").all_text_contents() == names[::-1]
    page.get_by_role("button", name="Store path").click()
    assert page.locator("#path-rows button").all_text_contents() == sorted(names)
    assert page.get_by_role("columnheader", name="Store path").first.get_attribute("aria-sort") == "ascending"


def test_the_arrow_keys_move_in_the_list(page: "Page") -> None:
    page.locator("#path-rows button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    third = page.locator("#path-rows button").nth(2)
    assert third.get_attribute("aria-pressed") == "true"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == page.locator("#path-rows button").last.text_content()


def test_the_neighbours_of_a_path_are_listed_and_lead_on(page: "Page") -> None:
    graph = GRAPH
    number = max(range(len(graph)), key=lambda number: len(graph.references[number]) * (number != len(graph) - 1))
    page.locator("#search").fill(get_name(number))
    page.locator("#search").press("Enter")
    if page.locator("#needs-more").is_visible():
        page.locator("#needs-more").click()
    needs = page.locator("#needs button").all_text_contents()
    assert set(needs) == {get_name(reference) for reference in graph.references[number]}
    page.locator("#needs button").first.click()
    assert page.locator("#sentence").text_content() == describe_change(graph, needs[0])


def test_a_click_on_a_dot_chooses_its_path(page: "Page") -> None:
    """The paths that refer to nothing are in the first column, from top to bottom."""
    box = page.locator("#graph").bounding_box()
    assert box is not None
    page.mouse.move(0, 0)
    (first, *_), *columns = page.evaluate("loadModel().columns")
    count = len(page.evaluate("loadModel().columns[0]"))
    x = 16 + 0.5 / (len(columns) + 1) * (box["width"] - 32)
    y = 16 + 0.5 / count * (box["height"] - 32)
    page.locator("#graph").click(position={"x": x, "y": y})
    assert page.locator("#sentence").text_content() == describe_change(GRAPH, get_name(first))


def test_a_layer_that_is_opened_lists_its_paths(page: "Page") -> None:
    details = page.locator("table.layers details").first
    assert details.locator("li").count() == 0
    details.locator("summary").click()
    summary = details.locator("summary").text_content() or ""
    assert details.locator("li").count() == int(summary.rpartition("+")[2]) + 1
    details.locator("li button").first.click()
    assert (page.locator("#sentence").text_content() or "").startswith("A change of ")


def test_nothing_moves_when_a_path_is_chosen(page: "Page") -> None:
    before = page.locator(".treemap, #graph, table.layers").evaluate_all(
        "parts => parts.slice(0, 3).map(part => JSON.stringify(part.getBoundingClientRect()))"
    )
    page.locator("#path-rows button").nth(5).click()
    assert before == page.locator(".treemap, #graph, table.layers").evaluate_all(
        "parts => parts.slice(0, 3).map(part => JSON.stringify(part.getBoundingClientRect()))"
    )


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_page_of_a_plan_is_accessible(
    browser: "Browser", plan_file: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    with open_page(browser, plan_file, width=width, scheme=scheme) as page:
        page.locator("#path-rows button").nth(20).click()
        assert find_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_rectangles_have_names_in_the_tree_of_screen_readers(page: "Page") -> None:
    info = max(GRAPH, key=lambda info: info.nar_size)
    treemap = page.get_by_role("group", name="Layers planned by auto")
    label = f"{info.path.name}, {format_size(info.nar_size)}, layer "
    assert treemap.get_by_role("button", name=label).count() == 1
    assert treemap.get_by_role("button").count() == len(GRAPH)


def test_the_colours_follow_the_scheme_of_the_system(page: "Page") -> None:
    """The drawing of the references is drawn again."""
    colour = page.evaluate("getComputedStyle(document.body).color")
    drawing = page.evaluate("document.getElementById('graph').toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("drawing => document.getElementById('graph').toDataURL() !== drawing", arg=drawing)
    assert page.evaluate("getComputedStyle(document.body).color") != colour


def test_the_figures_are_there_without_scripts_and_in_print(browser: "Browser", plan_file: Path) -> None:
    with open_page(browser, plan_file, has_scripts=False) as page:
        assert page.locator(".treemap").first.is_visible()
        assert page.locator("table.layers").first.is_visible()
        assert not page.locator("#paths, #graph, #effect").filter(visible=True).count()
    with open_page(browser, plan_file) as page:
        page.emulate_media(media="print")
        assert not page.locator("#paths").is_visible()
        assert page.locator(".treemap").first.is_visible()
        assert page.pdf()[:5] == b"%PDF-"


def test_two_thousand_paths_take_a_bounded_number_of_elements_and_changes(browser: "Browser", tmp_path: Path) -> None:
    """A choice changes at most three attributes for each rectangle, and adds no element beyond short lists."""
    graph = make_closure(2000)
    with open_page(browser, write_plan(tmp_path, graph, "auto")) as page:
        nodes = count_nodes(page)
        assert nodes < 2000 + 200 * 6 + 2500
        assert page.locator("#path-rows tr").count() == 200
        page.evaluate(
            """() => {
            window.changes = 0;
            const observer = new MutationObserver((records) => { window.changes += records.length; });
            observer.observe(document.body, { subtree: true, childList: true, attributes: true });
        }"""
        )
        for number in (0, 60, 199):
            page.locator("#path-rows button").nth(number).click()
        assert page.evaluate("window.changes") < 3 * (3 * 2000 + 2000)
        assert count_nodes(page) < nodes + 100
        page.get_by_role("button", name="Show more").click()
        assert page.locator("#path-rows tr").count() == 400
        assert page.evaluate("document.activeElement === document.querySelectorAll('#path-rows button')[200]")


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_page_of_a_diff_is_accessible(
    browser: "Browser", diff_file: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    with open_page(browser, diff_file, width=width, scheme=scheme) as page:
        assert find_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_rows_of_a_diff_are_filtered(browser: "Browser", diff_file: Path) -> None:
    with open_page(browser, diff_file) as page:
        rows = page.locator("table.packages tbody tr")
        states = rows.evaluate_all("rows => rows.map(row => row.dataset.states)")
        assert rows.filter(visible=True).count() == sum(bool({"sent", "gone"} & {*state.split()}) for state in states)
        page.get_by_role("checkbox", name="Kept").check()
        assert rows.filter(visible=True).count() == len(states)
        page.get_by_role("searchbox", name="Find a package or a layer").fill("hello")
        found = rows.filter(visible=True)
        assert found.count()
        assert all("hello" in text for text in found.evaluate_all("rows => rows.map(row => row.dataset.text)"))
        layers = page.locator("table.layers tbody tr")
        packages = f"{found.count()} of {len(states)} packages"
        shown = f"{layers.filter(visible=True).count()} of {layers.count()} layers"
        assert page.locator("#count").text_content() == f"{packages}, {shown}"
