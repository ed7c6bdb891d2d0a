"""The documents of the embedded store."""

from dataclasses import replace

from tests.support.factories import info, path

from lamina.api.store import FetchResult
from lamina.cli.documents.stores import dump_fetch, dump_garbage, dump_narinfo, dump_paths
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.gc import GCResult

ONE = NarInfo(info("A", "BA", 1024), "nar/a", "none", ("key:x",), deriver="x.drv", address="fixed:r:x")


def test_a_narinfo_has_the_keys_of_nix_beside_those_of_other_documents() -> None:
    assert dump_narinfo(ONE) == {
        "path": str(path("A")),
        "nar_hash": ONE.info.nar_hash.sri,
        "nar_size": 1024,
        "references": [str(path("A")), str(path("B"))],
        "deriver": "/nix/store/x.drv",
        "signatures": ["key:x"],
        "content_address": "fixed:r:x",
        "url": "nar/a",
        "narHash": ONE.info.nar_hash.sri,
        "narSize": 1024,
        "ca": "fixed:r:x",
    }
    unknown = dump_narinfo(replace(ONE, deriver="", address=""))
    assert (unknown["deriver"], unknown["content_address"], unknown["ca"]) == (None, None, None)


def test_a_list_has_its_sum() -> None:
    document = dump_paths("store", [ONE, ONE], ["odd"])
    assert (document["path_count"], document["nar_size"], document["warnings"]) == (2, 2048, ["odd"])


def test_a_fetched_path_was_not_there_and_a_reused_one_was() -> None:
    other = replace(ONE, info=info("C", "", 10))
    document = dump_fetch("store", FetchResult((ONE, other), frozenset([path("C")])))
    assert [(one["reused"], one["fetched"]) for one in document["paths"]] == [(True, False), (False, True)]
    assert (document["path_count"], document["fetched_count"], document["fetched_nar_size"]) == (2, 1, 10)


def test_a_stray_file_has_its_whole_name() -> None:
    document = dump_garbage("/store", GCResult(((path("A"), 5),), (("nar/x", 7),), 3), dry_run=True)
    assert document["files"] == [{"file": "/store/nar/x", "size": 7, "name": "nar/x"}]
    assert (document["size"], document["kept"], document["dry_run"]) == (12, 3, True)
