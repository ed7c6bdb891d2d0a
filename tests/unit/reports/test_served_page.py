"""The page of a registry."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence

from lamina.core.names import Digest
from lamina.reports.served_layers import ImageEntry, LayerEntry, find_common_layers
from lamina.reports.served_page import make_served_page, make_served_page_policy
from lamina.system.transfer import BlobInfo

MIB = 1 << 20


def layer(name: str, size: int) -> LayerEntry:
    return LayerEntry(name, BlobInfo(Digest(hashlib.sha256(name.encode()).digest()), size))


GLIBC, OPENSSL, WEB, API = layer("glibc", 4 * MIB), layer("openssl", MIB), layer("web", 2 * MIB), layer("api", MIB)
IMAGES = (
    ImageEntry("api:latest", ((GLIBC, API),)),
    ImageEntry("cold:1", ()),
    ImageEntry("web:latest", ((GLIBC, OPENSSL, WEB), (OPENSSL, API))),
)


def draw(images: Sequence[ImageEntry] = IMAGES, allowed: Sequence[str] = ()) -> str:
    return make_served_page("localhost:5000", images, allowed).decode()


def list_facts(page: str) -> list[str]:
    return re.findall('<p class="facts">(.*?)</p>', page)


def test_each_image_has_its_size_its_layers_and_a_command() -> None:
    page = draw()
    assert re.findall("<h3>(.*?)</h3>", page) == ["api:latest", "cold:1", "web:latest"]
    assert list_facts(page) == [
        "2 layers, 5.0 MiB, 5.0 MiB shared",
        "Not made yet",
        "4 layers, 2 platforms, 8.0 MiB, 5.0 MiB shared",
    ]
    assert re.findall("<code>(.*?)</code>", page) == [
        f"docker pull localhost:5000/{name}" for name in ("api:latest", "cold:1", "web:latest")
    ]


def test_the_header_counts_each_layer_once() -> None:
    assert dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", draw())) == {
        "Images": "3",
        "Ready": "2",
        "Different layers": "4",
        "Size of these layers": "8.0 MiB",
        "Saved by sharing": "5.0 MiB",
    }


def test_common_layers_are_listed_by_what_they_save() -> None:
    common = find_common_layers(IMAGES)
    assert [(found.layer, found.images, found.saved) for found in common] == [
        (GLIBC, ("api:latest", "web:latest"), 4 * MIB),
        (API, ("api:latest", "web:latest"), MIB),
    ]
    assert re.findall('<th scope="row">(.*?)</th>', draw()) == ["glibc", "api"]


def test_images_without_common_layers_have_no_table() -> None:
    page = draw((ImageEntry("web:latest", ((WEB,),)), ImageEntry("api:latest", ((API,),))))
    assert "Layers in several images" not in page
    assert list_facts(page) == ["1 layer, 2.0 MiB", "1 layer, 1.0 MiB"]


def test_a_registry_without_images_says_so() -> None:
    assert "No image was made yet." in draw(())


def test_names_of_packages_are_explained_if_they_are_served() -> None:
    assert "Packages by name" not in draw()
    page = draw(allowed=("*",))
    assert "docker pull localhost:5000/arm64/PACKAGE" in page
    assert "whose names match" not in page
    assert "whose names match: python*, git" in draw(allowed=("python*", "git"))


def test_no_name_becomes_markup() -> None:
    hostile = "<script>alert(1)</script>"
    bad = layer(hostile, 1)
    page = make_served_page(
        hostile, [ImageEntry(f'{hostile}"{number}', ((bad,),)) for number in (1, 2)], [hostile]
    ).decode()
    assert hostile not in page
    assert page.count("<script>") == 1
    assert html.escape(hostile, quote=False) in page


def test_a_thousand_images_make_a_page_of_bounded_size() -> None:
    own = [layer(f"own-{number}", number) for number in range(1000)]
    shared = [layer(f"shared-{number}", 10_000 + number) for number in range(120)]
    page = draw([ImageEntry(f"app-{number}:latest", ((*shared, mine),)) for number, mine in enumerate(own)])
    assert page.count("<h3>") == 1000
    assert page.count('<th scope="row">') == 50
    assert "70 smaller layers more" in page
    assert "app-9:latest and 990 more" in page
    assert len(page) < 1000 * 1000


def test_the_header_allows_what_the_page_itself_allows() -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', draw())
    assert html.unescape(policy) == make_served_page_policy()
