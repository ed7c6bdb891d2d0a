"""The page of the differences between two images."""

import hashlib
import re
from dataclasses import replace

from tests.support.factories import path

from lamina.core.names import Digest
from lamina.images.config_changes import ConfigChange
from lamina.images.diff import DiffImage, DiffResult, LayerChange, PackageChange
from lamina.reports.diff_page import make_diff_page


def digest(content: bytes) -> Digest:
    return Digest(hashlib.sha256(content).digest())


OLD = DiffImage(digest(b"old"), ("app:1",), (), "linux/amd64", 2, 3 << 20, is_compressed=True)
NEW = replace(OLD, digest=digest(b"new"), repo_tags=("app:2",), size=4 << 20)
RESULT = DiffResult(
    OLD,
    NEW,
    (
        LayerChange("kept", 1, digest(b"1"), digest(b"1"), 1 << 20, (path("glibc-2.40"),), (9,)),
        LayerChange("sent", 2, digest(b"2"), digest(b"2"), 3 << 20, (path("openssl-3.0.14"),), (9,)),
        LayerChange("gone", 2, digest(b"3"), digest(b"3"), 2 << 20, (path("openssl-3.0.13"),), (9,)),
    ),
    (
        PackageChange("updated", path("openssl-3.0.13"), path("openssl-3.0.14"), 0, 3 << 20, 2 << 20),
        PackageChange("kept", path("glibc-2.40"), path("glibc-2.40"), 1 << 20, 0, 0),
        PackageChange("kept", None, None, 0, 0, 0),
    ),
    (ConfigChange("Env", "X", None, "<b>"),),
)


def read_rows(page: str, kind: str) -> list[list[str]]:
    """Return the texts of the rows of each table of one kind."""
    rows = []
    for table in re.findall(f'<table class="{kind}">.*?<tbody>(.*?)</tbody>', page):
        for row in re.findall("<tr.*?>(.*?)</tr>", table):
            cells = re.findall("<t[hd].*?>(.*?)</t[hd]>", row)
            rows.append([re.sub("<.*?>", "", cell) for cell in cells])
    return rows


def test_the_tables_have_what_the_command_prints() -> None:
    page = make_diff_page(RESULT).decode()
    assert "<h1>app:1 → app:2</h1>" in page
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts["Size"] == "3.0 MiB compressed → 4.0 MiB compressed"
    assert (facts["Kept"], facts["Sent"], facts["Gone"]) == ("1 layer, 1.0 MiB", "1 layer, 3.0 MiB", "1 layer, 2.0 MiB")
    assert read_rows(page, "packages") == [
        ["openssl-3.0.13 → 3.0.14", "updated", "", "3.0 MiB", "2.0 MiB", ""],
        ["glibc-2.40", "kept", "", "", "", "1.0 MiB"],
        ["files outside of store paths", "kept", "", "", "", ""],
    ]
    assert [row[:3] for row in read_rows(page, "layers")] == [
        ["1", "kept", "1.0 MiB"],
        ["2", "sent", "3.0 MiB"],
        ["2", "gone", "2.0 MiB"],
    ]
    assert read_rows(page, "settings") == [["Env X", "", "&lt;b&gt;"]]


def test_bars_are_in_proportion_to_bytes() -> None:
    page = make_diff_page(RESULT).decode()
    (row,) = re.findall('<tr data-states="sent gone".*?</tr>', page)
    assert re.findall('<rect class="(.*?)".*?x="(.*?)" width="(.*?)"', row) == [
        ("sent", "0.000%", "60.000%"),
        ("gone", "60.000%", "40.000%"),
    ]


def test_a_row_can_be_found_by_both_versions_and_by_its_states() -> None:
    page = make_diff_page(RESULT).decode()
    (text,) = re.findall('<tr data-states="sent gone" data-text="(.*?)"', page)
    assert "openssl-3.0.13" in text
    assert "openssl-3.0.14" in text
    assert re.findall('<tr data-states="(.*?)"', page) == ["sent gone", "kept", "kept", "kept", "sent", "gone"]


def test_each_platform_has_its_part_and_missing_ones_are_listed() -> None:
    arm = replace(RESULT, old=replace(OLD, platform="linux/arm64"), new=replace(NEW, platform="linux/arm64"))
    result = replace(RESULT, others=(arm,), only_old=(replace(OLD, platform="linux/386"),))
    page = make_diff_page(result).decode()
    assert re.findall('<h2 class="platform">(.*?)</h2>', page) == ["linux/amd64", "linux/arm64"]
    assert "<li>linux/386: gone, 3.0 MiB</li>" in page
    assert len(read_rows(page, "packages")) == 6


def test_names_of_images_are_escaped_and_may_be_no_unicode() -> None:
    page = make_diff_page(replace(RESULT, new=replace(NEW, repo_tags=("<i>\udce9",)))).decode()
    assert "<h1>app:1 → &lt;i&gt;\\udce9</h1>" in page


def test_the_same_result_gives_the_same_bytes() -> None:
    assert make_diff_page(RESULT) == make_diff_page(replace(RESULT))
