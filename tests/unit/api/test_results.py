"""A result is a tuple that also has warnings."""

from lamina.api.results import ListResult


def test_a_result_is_a_tuple_with_warnings() -> None:
    result = ListResult(iter([1, 2]), ["careful"])
    assert result.warnings == ("careful",)
    assert result == (1, 2)
    assert ListResult([]).warnings == ()
