"""lamina: layered container images from Nix store paths.

Invariant: everything public is a name of this module, and a name costs nothing until it is used.

    import sys, lamina
    stream = lamina.stream_layered_image(contents=["/nix/store/…-hello-2.12.1"], config={"Cmd": ["/bin/hello"]})
    image = stream.write_to(sys.stdout.buffer)
"""

from __future__ import annotations

from lamina.version import __version__

TYPE_CHECKING = False  # as typing has it, which takes longer to import than all of this

if TYPE_CHECKING:
    from typing import Any

    from lamina.api import (
        Stream,
        build_layered_image,
        export_image,
        inspect,
        merge_images,
        plan_layered_image,
        stream_conf,
        stream_layered_image,
        verify_ledger,
    )
    from lamina.errors import (
        AuthError,
        Error,
        FormatError,
        IntegrityError,
        InvalidName,
        NotFound,
        OutputError,
        PlanError,
        RegistryError,
        ScriptError,
        StoreError,
        Unavailable,
    )
    from lamina.formats.narinfo import NarInfo
    from lamina.image import Draft, Image, Store
    from lamina.layer import Layer
    from lamina.root.entries import Dir, File, Perm, Symlink, Xattr
    from lamina.spec import ImageArguments
    from lamina.storing import Fetched, StoredPath, add_path, describe_paths, fetch_paths, list_paths
    from lamina.verifying import DamagedLayer, Verified

_HOMES = {
    "lamina.api": (
        "Stream",
        "build_layered_image",
        "export_image",
        "inspect",
        "merge_images",
        "plan_layered_image",
        "stream_conf",
        "stream_layered_image",
        "verify_ledger",
    ),
    "lamina.errors": (
        "AuthError",
        "Error",
        "FormatError",
        "IntegrityError",
        "InvalidName",
        "NotFound",
        "OutputError",
        "PlanError",
        "RegistryError",
        "ScriptError",
        "StoreError",
        "Unavailable",
    ),
    "lamina.formats.narinfo": ("NarInfo",),
    "lamina.image": ("Draft", "Image", "Store"),
    "lamina.layer": ("Layer",),
    "lamina.root.entries": ("Dir", "File", "Perm", "Symlink", "Xattr"),
    "lamina.spec": ("ImageArguments",),
    "lamina.storing": ("Fetched", "StoredPath", "add_path", "describe_paths", "fetch_paths", "list_paths"),
    "lamina.verifying": ("DamagedLayer", "Verified"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AuthError",
    "DamagedLayer",
    "Dir",
    "Draft",
    "Error",
    "Fetched",
    "File",
    "FormatError",
    "Image",
    "ImageArguments",
    "IntegrityError",
    "InvalidName",
    "Layer",
    "NarInfo",
    "NotFound",
    "OutputError",
    "Perm",
    "PlanError",
    "RegistryError",
    "ScriptError",
    "Store",
    "StoreError",
    "StoredPath",
    "Stream",
    "Symlink",
    "Unavailable",
    "Verified",
    "Xattr",
    "__version__",
    "add_path",
    "build_layered_image",
    "describe_paths",
    "export_image",
    "fetch_paths",
    "inspect",
    "list_paths",
    "merge_images",
    "plan_layered_image",
    "stream_conf",
    "stream_layered_image",
    "verify_ledger",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
