"""Layered container images from Nix store paths.

Every public name is a name of this module. Its home is imported when the name is first used, so that importing lamina
costs almost nothing.

    import sys, lamina
    with lamina.stream_layered_image(contents=["/nix/store/…-hello-2.12.1"], config={"Cmd": ["/bin/hello"]}) as stream:
        image = stream.write_to(sys.stdout.buffer)
"""

from __future__ import annotations

from lamina.version import __version__

TYPE_CHECKING = False  # type checkers know the name; importing typing takes longer than all of this module

if TYPE_CHECKING:
    from typing import Any

    from lamina.api.cache_folder import (
        CleanResult,
        LayerCacheResult,
        PruneResult,
        clean_cache,
        describe_layer_cache,
        prune_layer_cache,
    )
    from lamina.api.docker_tools import stream_conf
    from lamina.api.images import (
        Stream,
        build_layered_image,
        export_image,
        inspect,
        merge_images,
        plan_layered_image,
        stream_layered_image,
        verify_layer_cache,
    )
    from lamina.api.layer_cache import DamagedLayer, LayerCacheCheck
    from lamina.api.results import ListResult
    from lamina.api.store import AddedPath, FetchResult, StoredPath, add_path, describe_paths, fetch_paths, list_paths
    from lamina.api.store_admin import (
        collect_garbage,
        export_paths,
        generate_key,
        import_paths,
        public_key,
        push_paths,
        sign_paths,
        verify_store,
    )
    from lamina.errors import (
        AuthError,
        Error,
        FormatError,
        IntegrityError,
        InvalidArgument,
        NotFound,
        OutputError,
        PlanError,
        RegistryError,
        ScriptError,
        StoreError,
        Unavailable,
        Unreachable,
    )
    from lamina.formats.keys import PublicKey
    from lamina.formats.narinfo import NarInfo
    from lamina.images.image import Draft, Image
    from lamina.inputs.arguments import ImageArguments, StoreArguments
    from lamina.layers.layer import Layer
    from lamina.rootfs.entries import Dir, File, Perm, Symlink, Xattr
    from lamina.stores.binary_cache.push import PushResult
    from lamina.stores.embedded.gc import GCResult
    from lamina.stores.embedded.nix_export import ImportedPath
    from lamina.stores.embedded.verify import DamagedPath, StoreCheck
    from lamina.stores.store import Store

_EXPORTS = {
    "lamina.api.images": (
        "Stream",
        "build_layered_image",
        "export_image",
        "inspect",
        "merge_images",
        "plan_layered_image",
        "stream_layered_image",
        "verify_layer_cache",
    ),
    "lamina.api.docker_tools": ("stream_conf",),
    "lamina.errors": (
        "AuthError",
        "Error",
        "FormatError",
        "InputError",
        "IntegrityError",
        "InvalidArgument",
        "NotFound",
        "OutputError",
        "PlanError",
        "RegistryError",
        "ScriptError",
        "StoreError",
        "Unavailable",
        "Unreachable",
    ),
    "lamina.formats.keys": ("PublicKey",),
    "lamina.formats.narinfo": ("NarInfo",),
    "lamina.images.image": ("Draft", "Image"),
    "lamina.stores.store": ("Store",),
    "lamina.layers.layer": ("Layer",),
    "lamina.api.results": ("ListResult",),
    "lamina.rootfs.entries": ("Dir", "File", "Perm", "Symlink", "Xattr"),
    "lamina.inputs.arguments": ("ImageArguments", "StoreArguments"),
    "lamina.api.store_admin": (
        "collect_garbage",
        "export_paths",
        "generate_key",
        "import_paths",
        "public_key",
        "push_paths",
        "sign_paths",
        "verify_store",
    ),
    "lamina.stores.embedded.verify": ("StoreCheck", "DamagedPath"),
    "lamina.stores.embedded.gc": ("GCResult",),
    "lamina.stores.embedded.nix_export": ("ImportedPath",),
    "lamina.stores.binary_cache.push": ("PushResult",),
    "lamina.api.store": (
        "AddedPath",
        "FetchResult",
        "StoredPath",
        "add_path",
        "describe_paths",
        "fetch_paths",
        "list_paths",
    ),
    "lamina.api.layer_cache": ("DamagedLayer", "LayerCacheCheck"),
    "lamina.api.cache_folder": (
        "CleanResult",
        "LayerCacheResult",
        "PruneResult",
        "clean_cache",
        "describe_layer_cache",
        "prune_layer_cache",
    ),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "AddedPath",
    "AuthError",
    "CleanResult",
    "DamagedLayer",
    "DamagedPath",
    "Dir",
    "Draft",
    "Error",
    "FetchResult",
    "File",
    "FormatError",
    "GCResult",
    "Image",
    "ImageArguments",
    "ImportedPath",
    "InputError",
    "IntegrityError",
    "InvalidArgument",
    "Layer",
    "LayerCacheCheck",
    "LayerCacheResult",
    "ListResult",
    "NarInfo",
    "NotFound",
    "OutputError",
    "Perm",
    "PlanError",
    "PruneResult",
    "PublicKey",
    "PushResult",
    "RegistryError",
    "ScriptError",
    "Store",
    "StoreArguments",
    "StoreCheck",
    "StoreError",
    "StoredPath",
    "Stream",
    "Symlink",
    "Unavailable",
    "Unreachable",
    "Xattr",
    "__version__",
    "add_path",
    "build_layered_image",
    "clean_cache",
    "collect_garbage",
    "describe_layer_cache",
    "describe_paths",
    "export_image",
    "export_paths",
    "fetch_paths",
    "generate_key",
    "import_paths",
    "inspect",
    "list_paths",
    "merge_images",
    "plan_layered_image",
    "prune_layer_cache",
    "public_key",
    "push_paths",
    "sign_paths",
    "stream_conf",
    "stream_layered_image",
    "verify_layer_cache",
    "verify_store",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _MODULE_OF:
        from lamina.api.old_names import resolve

        return resolve(name, __getattr__)
    return getattr(importlib.import_module(_MODULE_OF[name]), name)
