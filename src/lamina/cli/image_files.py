"""Tell images from ROOTs, for the commands that take either."""

from __future__ import annotations

import os
import re

from lamina.core.names import STORE_DIR
from lamina.formats.transports import split_transport

_IMAGE_FILE = re.compile(r".*\.(tar|tgz|tzst|tar\.[a-z0-9]+)", re.IGNORECASE)


def is_image(text: str) -> bool:
    """Return whether ``text`` names an image, and not something that images are made of.

    Every file is an image, except an expression for Nix, and a store path that does not have the name of an archive. So
    is an OCI layout. A name without a file is that of an image if it ends as an archive does, begins with a transport
    such as ``oci:``, or is a reference to an image in a registry.
    """
    file, mark, _ = text.rpartition("#")
    if not mark or os.path.exists(text):
        file = text
    if not os.path.lexists(file):
        return bool(_IMAGE_FILE.fullmatch(file) or _has_transport(file)) or _is_reference(file)
    if os.path.isdir(file):
        return os.path.exists(os.path.join(file, "oci-layout"))
    target = os.path.realpath(file)
    if target.startswith(f"{STORE_DIR}/") or file.startswith(f"{STORE_DIR}/"):
        return bool(_IMAGE_FILE.fullmatch(target))
    return not file.endswith(".nix")


def _has_transport(text: str) -> bool:
    return text.startswith("docker:") or split_transport(text) is not None


def _is_reference(text: str) -> bool:
    """Return whether ``text`` names an image in a registry: it has a host or a tag, as no store path and name has."""
    if "/nix/store/" in text or not (":" in text or "/" in text):
        return False
    from lamina.images.readers.references import find_reference

    return find_reference(text) is not None
