"""The layering by size: the largest paths divide the closure, until the budget is used up."""

from tests.support.factories import closure, layers, path

from lamina.layering.auto import auto

EXAMPLE = closure("O→A,B  A→C,D  B→C,E  C→F", A=100, B=80, C=50, D=10, E=10, F=5)


def test_the_example_of_the_docstring_of_the_module() -> None:
    assert layers(auto(EXAMPLE, 4, {path("O")})) == ["C F", "B E", "A D"]


def test_with_a_large_budget_each_path_has_a_layer_of_its_own_smallest_closure_first() -> None:
    assert layers(auto(EXAMPLE, 7, ())) == ["F", "D", "E", "C", "B", "A", "O"]


def test_with_a_budget_of_one_all_paths_share_a_layer() -> None:
    (layer,) = layers(auto(EXAMPLE, 1, ()))
    assert layer == "A B C D E F O"


def test_an_ignored_path_counts_towards_the_budget_and_is_in_no_layer() -> None:
    assert layers(auto(closure("A  B"), 2, {path("A")})) == ["B"]
    assert auto(closure("A"), 1, {path("A")}) == ()
    assert auto(closure(""), 3, ()) == ()


def test_every_path_is_alone_if_there_are_enough_layers() -> None:
    plans = auto(closure("A→B", A=3, B=4), 2, ())
    assert {plan.reason for plan in plans} == {"a layer for every path"}


def test_the_reason_says_why_a_path_is_alone_and_why_paths_are_together() -> None:
    """A, B and C are the largest paths; O is above all of them."""
    plans = auto(EXAMPLE, 4, ())
    assert dict(zip(layers(plans), (plan.reason for plan in plans), strict=True)) == {
        "C F": "large path and what it needs",
        "B E": "large path and what it needs",
        "A D": "large path and what it needs",
        "O": "needed by no large path",
    }


def test_the_reason_counts_the_paths_that_need_a_layer() -> None:
    plans = auto(closure("A→D,E  B→D,E  C→D,E", A=9, B=8, C=7, D=1, E=1), 4, ())
    assert [plan.reason for plan in plans] == [
        "needed by A and 2 more",
        *["large path"] * 3,
    ]
