"""The page of a plan."""

import json
import re
from typing import Any

from tests.support.factories import closure
from tests.support.large_closures import make_closure

from lamina.core.closure import Closure
from lamina.layering import LayerPlan, plan
from lamina.reports.plan_page import DrawnPlan, make_plan_page

GRAPH = closure("app-1.0→openssl-3.0,glibc-2.40  openssl-3.0→glibc-2.40", **{"app-1.0": 2048, "glibc-2.40": 4096})


def draw(graph: Closure, *strategies: str, name: str = "app") -> str:
    plans = [DrawnPlan(strategy, plan(graph, max_layers=30, strategy=strategy)) for strategy in strategies]
    return make_plan_page(name, graph, plans).decode()


def read_data(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page)
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_header_sums_the_plan_up() -> None:
    page = draw(GRAPH, "auto", "popularity")
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts == {
        "Layers": "3",
        "Store paths": "3",
        "Size": "6.0 KiB",
        "Strategy": "auto",
        "Compared with": "popularity, 3 layers",
    }
    assert "<h1>app</h1>" in page


def test_the_data_has_the_graph_and_what_each_change_sends() -> None:
    data = read_data(draw(GRAPH, "auto"))
    app, glibc, openssl = (data["names"].index(name) for name in ("app-1.0", "glibc-2.40", "openssl-3.0"))
    assert data["sizes"][glibc] == 4096
    assert data["references"][app] == sorted([glibc, openssl])
    assert [data["changed"][number] for number in (app, openssl, glibc)] == [1, 2, 3]
    assert [data["plans"][0]["sent"][number] for number in (app, openssl, glibc)] == [2048, 2049, 6145]
    assert sorted(number for layer in data["plans"][0]["layers"] for number in layer) == [0, 1, 2]


def test_the_table_and_the_treemap_have_every_layer_without_a_script() -> None:
    page = draw(make_closure(200), "auto")
    markup = page.partition('<script id="data"')[0]
    layers = {number for layer in read_data(page)["plans"] for number in range(len(layer["layers"]))}
    assert {int(number) for number in re.findall(r'<tr data-layer="(\d+)"', markup)} == layers
    assert {int(number) for number in re.findall(r'data-path="\d+" data-layer="(\d+)"', markup)} == layers
    assert {int(number) for number in re.findall(r'class="cell".*?data-path="(\d+)"', markup)} == set(range(200))


def test_a_path_has_its_name_size_and_layer_as_accessible_name() -> None:
    assert re.findall('role="button".*?aria-label="(.*?)"', draw(GRAPH, "auto")) == [
        "glibc-2.40, 4.0 KiB, layer 1",
        "app-1.0, 2.0 KiB, layer 3",
        "openssl-3.0, 1 B, layer 2",
    ]


def test_a_table_has_the_rates_of_layers_if_the_strategy_has_them() -> None:
    page = draw(GRAPH, "auto", "cost")
    _, without, with_rates = page.split("<caption>")
    assert "Updates" not in without
    assert re.findall(r'<td class="number">([0-9.]+ %)</td>', with_rates) == [
        f"{100 * (layer.rate or 0):.1f} %" for layer in plan(GRAPH, strategy="cost")
    ]


def test_the_same_plan_gives_the_same_bytes() -> None:
    """The order in which the paths were found and the hash seed of sets do not matter."""
    graph = make_closure(120)
    again = Closure.of(reversed(graph.infos))
    assert draw(graph, "auto", "popularity") == draw(again, "auto", "popularity")


def test_names_are_escaped() -> None:
    page = draw(GRAPH, "auto", name="</title><script>alert(1)</script>")
    assert "<script>alert" not in page
    assert "<h1>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</h1>" in page


def test_a_reason_is_escaped() -> None:
    layer = LayerPlan.of(GRAPH.infos, "<img src=x onerror=alert(1)>")
    page = make_plan_page("app", GRAPH, [DrawnPlan("function", [layer])]).decode()
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_a_plan_without_layers_says_so() -> None:
    page = make_plan_page("app", Closure(()), [DrawnPlan("auto", [])]).decode()
    assert "No store path is in a layer." in page
    assert read_data(page)["plans"] == [{"strategy": "auto", "layers": [], "sent": []}]


def test_a_path_in_no_layer_is_in_the_data_and_not_in_the_treemap() -> None:
    layer = LayerPlan.of([info for info in GRAPH if info.path.name != "glibc-2.40"], "without glibc")
    page = make_plan_page("app", GRAPH, [DrawnPlan("pipeline", [layer])]).decode()
    assert "glibc-2.40" in read_data(page)["names"]
    assert "glibc-2.40, 4.0 KiB" not in page
