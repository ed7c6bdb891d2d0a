"""The documents of plans."""

from tests.support.factories import closure

from lamina.api.plan_totals import RegistryTotal, RegistryTotals
from lamina.builder.prepare import PlanResult
from lamina.cli.documents.plans import ImageKey, dump_plan
from lamina.layering.auto import auto

RESULT = PlanResult(auto(closure("A→B  C", A=5, B=3, C=1), 2, ()), ())


def test_a_plan_has_its_sums() -> None:
    document = dump_plan({ImageKey("", "linux/arm64"): RESULT}, ["odd"])
    assert document["images"] == [{key: document[key] for key in document["images"][0]}]  # type: ignore[literal-required]
    assert (document["platform"], document["table"], document["warnings"]) == ("linux/arm64", None, ["odd"])
    assert (document["layer_count"], document["path_count"], document["closure_size"]) == (2, 3, 9)
    assert [(layer["nar_size"], layer["nar_sizes"]) for layer in document["layers"]] == [(1, [1]), (8, [5, 3])]
    assert document["registry"] is None


def test_the_plans_of_several_images_have_what_a_registry_stores() -> None:
    totals = RegistryTotals(RegistryTotal(4, 40, 9), RegistryTotal(5, 50, 8), RegistryTotal(3, 30, 10))
    document = dump_plan({ImageKey("web"): RESULT, ImageKey("worker", "linux/arm64"): RESULT}, [], totals)
    assert [(image["table"], image["platform"]) for image in document["images"]] == [
        ("web", ""),
        ("worker", "linux/arm64"),
    ]
    assert document["registry"] == {
        "planned": {"layer_count": 4, "size": 40, "update_size": 9},
        "alone": {"layer_count": 5, "size": 50, "update_size": 8},
        "shared": {"layer_count": 3, "size": 30, "update_size": 10},
    }


def test_messages_name_an_image_only_if_there_are_several() -> None:
    assert ImageKey("web").describe(has_others=False) == ""
    assert ImageKey("web", "linux/arm64").describe(has_others=False) == "linux/arm64"
    assert ImageKey("web", "linux/arm64").describe(has_others=True) == "image web linux/arm64"
