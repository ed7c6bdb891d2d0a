"""The public functions that take arguments of the table, with signatures that list all of them.

Type checkers and editors read ``signatures.pyi``, which ``script/signatures`` writes. At run time, a function gets its
signature and its docstring when its name is first used, so that the command line does not pay for them.
"""

from importlib import import_module

# The module that defines each function.
HOMES = {
    "stream_layered_image": "lamina.api.images",
    "build_layered_image": "lamina.api.images",
    "plan_layered_image": "lamina.api.images",
    "push_layered_image": "lamina.api.registry",
    "load_layered_image": "lamina.api.load",
    "push_image": "lamina.api.existing_push",
    "push_index": "lamina.api.existing_push",
    "stream_image_index": "lamina.api.image_index",
    "build_image_index": "lamina.api.image_index",
    "push_image_index": "lamina.api.image_index",
    "batch": "lamina.api.batch",
    "open_store": "lamina.api.sources",
    "fetch_paths": "lamina.api.store",
    "verify_image": "lamina.api.verify",
    "verify_store": "lamina.api.store_admin",
    "export_paths": "lamina.api.store_admin",
    "push_paths": "lamina.api.store_admin",
    "sbom": "lamina.api.sbom",
    "image_sbom": "lamina.api.sbom",
}


def __getattr__(name: str) -> object:
    """Return a function with its whole signature; type checkers read ``signatures.pyi`` instead."""
    if name not in HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from lamina.inputs.signatures import expand

    return expand(getattr(import_module(HOMES[name]), name))
