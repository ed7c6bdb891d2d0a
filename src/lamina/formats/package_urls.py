"""The package URL (purl) of a store path, such as ``pkg:nix/glibc@2.40-66?output=dev&outputhash=…``.

The type ``nix`` (package-url/purl-spec, types/nix-definition.json) has the origin of a package as its namespace, such
as nixpkgs, and its attribute path as its name. A store path tells neither: the attribute path of ``python3.13-numpy``
is ``python313Packages.numpy``. The URL therefore has no namespace and the package's own name, as in the documents of
syft, sbomnix and other scanners. The qualifiers are those of syft (anchore/syft, syft/pkg/cataloger/nix/package.go).
"""

from __future__ import annotations

from packageurl import PackageURL

from lamina.formats.bill_of_materials import SoftwareComponent

TYPE = "nix"


def make_package_url(component: SoftwareComponent) -> PackageURL:
    """Return the package URL of ``component``."""
    package = component.package
    qualifiers = {"output": package.output, "outputhash": component.path.hash}
    return PackageURL(TYPE, None, package.name, package.version or None, qualifiers, None)
