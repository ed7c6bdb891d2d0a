"""The package URL of a store path."""

import pytest
from packageurl import PackageURL
from tests.support.factories import path
from tests.support.package_names import DERIVATION_NAMES

from lamina.formats.bill_of_materials import SoftwareComponent
from lamina.formats.package_urls import make_package_url


@pytest.mark.parametrize("name", DERIVATION_NAMES)
def test_the_text_reads_back_to_the_name_the_version_and_the_hash(name: str) -> None:
    package, version = DERIVATION_NAMES[name]
    url = PackageURL.from_string(make_package_url(SoftwareComponent(path(name), None)).to_string())
    assert (url.type, url.namespace, url.name, url.version or "") == ("nix", None, package, version)
    assert url.qualifiers == {"outputhash": path(name).hash}


def test_other_outputs_than_out_are_a_qualifier() -> None:
    url = make_package_url(SoftwareComponent(path("glibc-2.40-66-dev"), None)).to_string()
    assert url == f"pkg:nix/glibc@2.40-66?output=dev&outputhash={path('glibc-2.40-66-dev').hash}"
