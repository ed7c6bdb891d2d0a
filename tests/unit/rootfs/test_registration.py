"""Registrations of an image's Nix database: lamina's paths, those of a base image, and the files beside it."""

from dataclasses import replace

from tests.support.factories import infos, path

from lamina.core.nodes import Regular, Symlink
from lamina.rootfs.registration import REGISTRATION_TIME, Registration, make_schema_and_gc_roots, merge_registrations


def registered(graph: str) -> tuple[Registration, ...]:
    return tuple(map(Registration.of, infos(graph)))


def names(registrations: tuple[Registration, ...]) -> str:
    return " ".join(one.path.name for one in registrations)


def without(registrations: tuple[Registration, ...], *left_out: str) -> tuple[Registration, ...]:
    return tuple(one for one in registrations if one.path.name not in left_out)


def test_a_registration_has_the_fields_of_a_path_info() -> None:
    (info, _) = infos("A→A,B", A=7)
    one = Registration.of(info)
    assert (one.path, one.nar_hash, one.nar_size, one.references) == (
        info.path,
        info.nar_hash,
        7,
        frozenset({path("A"), path("B")}),
    )
    assert one.registration_time == REGISTRATION_TIME
    assert (one.deriver, one.ultimate, one.signatures, one.ca, one.outputs) == ("", False, frozenset(), "", frozenset())


def test_the_merged_registrations_are_in_ascending_order() -> None:
    assert names(merge_registrations(registered("D→B B→"), registered("C→A"))[0]) == "A B C D"


def test_our_own_registration_wins_if_both_have_a_path() -> None:
    own = registered("A→B")
    base = tuple(replace(one, nar_size=99) for one in registered("A→C D→A"))
    both, warnings = merge_registrations(base, own)
    assert {one.path.name: one.nar_size for one in both} == {"A": 1, "B": 1, "C": 99, "D": 99}
    assert both[0].references == {path("B")}
    assert not warnings


def test_a_base_path_may_refer_to_one_of_ours() -> None:
    both, warnings = merge_registrations(without(registered("A→B"), "B"), registered("B→"))
    assert (names(both), warnings) == ("A B", ())


def test_all_paths_that_need_a_missing_one_are_left_out() -> None:
    base = without(registered("A→B B→C C→C D→E E→"), "C")
    both, warnings = merge_registrations(base, registered("X→"))
    assert names(both) == "D E X"
    (warning,) = warnings
    reason = f"left out {path('A')}, which refers to the missing {path('B')}, and 1 more for similar reasons"
    assert warning == f"Nix database of the base image: {reason}"


def test_the_warning_names_a_single_left_out_path() -> None:
    _, warnings = merge_registrations(without(registered("A→B"), "B"), ())
    assert warnings == (
        f"Nix database of the base image: left out {path('A')}, which refers to the missing {path('B')}",
    )


def test_base_paths_that_refer_to_one_another_stay() -> None:
    both, warnings = merge_registrations(registered("A→B B→A"), ())
    assert (names(both), warnings) == ("A B", ())


def test_ours_are_never_left_out() -> None:
    own = without(registered("A→B"), "B")
    assert merge_registrations((), own) == (own, ())


def test_the_schema_and_a_symlink_for_each_content_are_beside_the_database() -> None:
    schema, *links = make_schema_and_gc_roots([path("B"), path("A"), path("B")])
    assert schema == Regular(b"nix/var/nix/db/schema", executable=False, size=2, content=b"10")
    assert links == [
        Symlink(b"nix/var/nix/gcroots/docker/" + found.base.encode(), str(found).encode())
        for found in (path("A"), path("B"))
    ]
