"""``lamina store verify``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import lamina
from lamina.cli.command import option, verb
from lamina.cli.default_paths import get_default_layer_cache
from lamina.cli.documents.caches import dump_verification
from lamina.cli.options import ReportOptions, argument_options, list_flags, report_options
from lamina.cli.output import escape_controls, print_stderr, print_stdout
from lamina.cli.reporting import explain, format_count, open_progress, print_json, warn
from lamina.cli.store.store_option import split_stores
from lamina.errors import IntegrityError, InvalidArgument
from lamina.inputs.parsers import is_shared_cache, parse_shared_cache
from lamina.messages.sizes import format_size
from lamina.stores import open as opening
from lamina.stores.local.database import DATABASE
from lamina.transports.urls import redact_url

if TYPE_CHECKING:
    from lamina.api.layer_cache import DamagedLayer, LayerCacheCheck
    from lamina.inputs.arguments import ImageArguments, StoreArguments
    from lamina.stores.embedded.verify import StoreCheck


_CHECKED, _OLD_NAME, *_ = list_flags("layer_cache")
_LAYER_CACHE_FLAGS = (
    _CHECKED._replace(
        help="Check this layer cache; of a shared one, the layers that this machine knows."
        "  [default: the one in your cache folder]"
    ),
    _OLD_NAME,
)


@verb(
    "verify",
    "lamina store verify",
    "lamina store verify --repair --store https://cache.nixos.org",
    "lamina store verify --store ./store --repair --store https://cache.nixos.org",
)
@argument_options("cache", *_LAYER_CACHE_FLAGS)
@option(
    "--store",
    section="sources",
    completion="folder",
    multiple=True,
    metavar="WHERE",
    help="What to check and what to use for it. An embedded store: check this one. A binary cache, with --repair only: "
    "download damaged paths from it. A folder that holds nix/store: read the paths of layers from it."
    "  [default: check the store in your data folder; read the paths of layers from it and from this machine's store]",
)
@option("--repair", is_flag=True, help="Download damaged paths again, from the binary caches that --store names.")
@argument_options("sources", *list_flags("trusted_keys", "verify_signatures", "offline"))
@report_options
def command(
    cache: ImageArguments, store: tuple[str, ...], sources: StoreArguments, *, repair: bool, report: ReportOptions
) -> None:
    """Hash every path of the embedded store, and every layer in the layer cache, and compare.

    Whatever --store names, the layer cache is checked too; --layer-cache names another one.

    A path is damaged if its NAR does not match its narinfo, if the narinfo is invalid, or if a reference is missing.
    --repair downloads it again, if a cache has it. A wrong entry of the layer cache is printed and removed; layers
    whose paths are not in the stores are counted and kept. The exit code is 6 if anything is damaged. nix-store
    --repair-path repairs a damaged path of Nix's own store.
    """
    local = get_default_layer_cache()
    layer_cache = _choose_layer_cache(cache, local, is_offline=sources.get("offline", False))
    folder, others = split_stores(store)
    caches = [url for url in others if opening.is_remote(url)]
    if caches and not repair:
        raise InvalidArgument(
            "store",
            f"{caches[0]} without --repair",
            "folders to verify",
            hint="--repair downloads damaged paths from a binary cache",
        )
    shown = redact_url(layer_cache) if is_shared_cache(layer_cache) else layer_cache
    explain([f"store: {folder}", f"layer cache: {shown}"], report)
    store_check = None
    if opening.is_cache_folder(folder) or folder in store:
        sources["store"] = others
        with open_progress(report) as progress:
            store_check = lamina.verify_store(embedded_store=folder, repair=repair, progress=progress, **sources)
        warn(store_check.warnings, report)
        _print_store_check(store_check, report)
    elif all(map(opening.is_remote, store)) and not report.is_silent:
        print_stderr(f"no embedded store at {folder}")
    with open_progress(report) as progress:
        layer_check = lamina.verify_layer_cache(
            layer_cache=layer_cache,
            local_layer_cache=local,
            store=_select_layer_stores(store, folder),
            progress=progress,
        )
    warn(layer_check.warnings, report)
    if report.as_json:
        print_json(dump_verification(shown, layer_check, folder, store_check))
    else:
        for layer in layer_check.damaged:
            print_stdout(escape_controls(_describe_layer(layer)))
        print_stdout(
            escape_controls(_format_summary(layer_check) if layer_check.exists else f"no layer cache at {shown}")
        )
    if store_check and store_check.damaged:
        hint = "" if repair else "lamina store verify --repair --store URL downloads it again from a binary cache"
        raise IntegrityError(store_check.damaged[0].reason, hint=hint)
    if layer_check.damaged:
        raise IntegrityError(
            _describe_layer(layer_check.damaged[0]),
            hint="its entry in the layer cache is removed; nix-store --repair-path repairs a damaged store path",
        )


def _choose_layer_cache(cache: ImageArguments, local: str, *, is_offline: bool) -> str:
    """Return the layer cache that was given, or the file ``local``, which also stands for a URL without a network."""
    given = parse_shared_cache("layer_cache", cache.get("layer_cache"))
    return local if given is None or (is_offline and is_shared_cache(given)) else given


def _select_layer_stores(store: tuple[str, ...], folder: str) -> tuple[str, ...]:
    """Return the stores in which the layers' store paths are looked up.

    Binary caches are left out, because every layer's paths would be downloaded from them.
    """
    named = tuple(folder for folder in store if not opening.is_remote(folder))
    if named or not opening.is_cache_folder(folder):
        return named
    machine = str(opening.MACHINE)
    return (machine, folder) if os.path.exists(os.path.join(machine, DATABASE)) else (folder,)


def _print_store_check(check: StoreCheck, report: ReportOptions) -> None:
    if report.as_json:
        return
    for damage in check.mended:
        print_stdout(escape_controls(f"repaired: {damage.reason}"))
    for damage in check.damaged:
        print_stdout(escape_controls(damage.reason))
    repaired = f"{len(check.mended)} repaired, " if check.mended else ""
    print_stdout(
        f"{format_count(check.paths, 'path')}, {format_size(check.size)}: {check.intact} intact, {repaired}"
        f"{len(check.damaged)} damaged; {format_count(check.orphans, 'unused NAR')}, "
        f"{format_count(check.leftovers, 'leftover file')}"
    )


def _describe_layer(layer: DamagedLayer) -> str:
    return f"layer {layer.diff_id} of {', '.join(map(str, layer.paths))}: {layer.reason}"


def _format_summary(check: LayerCacheCheck) -> str:
    layers = format_count(check.layers, "layer")
    return f"{layers}: {check.intact} intact, {len(check.damaged)} damaged, {check.absent} absent"
