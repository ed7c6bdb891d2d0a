"""``lamina lock``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.locks import dump_lock
from lamina.cli.options import ReportOptions, argument_options, list_flags, result_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import format_count, print_json, print_summary, warn
from lamina.core.labels import shorten_digest
from lamina.errors import IntegrityError, InvalidArgument

if TYPE_CHECKING:
    from lamina.api.lock import LockedImage, LockResult

_DEFAULT_SPEC_FILE = "lamina.toml"


@verb("lock", "lamina lock", "lamina lock --check", "lamina lock --spec images/web.toml --spec images/db.toml")
@option(
    "--spec",
    section="image",
    completion="file",
    multiple=True,
    metavar="FILE",
    help="Pin the base images of this spec file. Spec files of one folder share its lock file, so name them all."
    f"  [default: {_DEFAULT_SPEC_FILE}]",
)
@option("--check", section="output", is_flag=True, help="Change nothing, and fail if the lock file would change.")
@argument_options("registry", *list_flags("insecure"))
@result_options
def command(spec: tuple[str, ...], registry: Mapping[str, Any], report: ReportOptions, *, check: bool) -> None:
    """Write the digests of the base images of a spec file to lamina.lock, in the folder of the spec file.

    The digests are those that the tags have in their registries now. Builds from the spec file use the lock file, so
    the base images stay the same until the next lamina lock. A base image whose reference has a digest, or that is in
    a file, needs no entry. Prints what changes. With --check, the exit code is 6 if anything would.
    """
    result = lamina.lock_images(spec or (_find_spec_file(),), check=check, **registry)
    warn(result.warnings, report)
    if report.as_json:
        print_json(dump_lock(result, check=check))
    else:
        _print_changes(result, report, check=check)
    if check and result.is_changed:
        raise IntegrityError(
            result.file, "other contents", "the digests that the tags have now", hint="lamina lock writes them"
        )


def _find_spec_file() -> str:
    """Return the spec file in the current folder.

    Raises:
        InvalidArgument: There is none.
    """
    if not os.path.lexists(_DEFAULT_SPEC_FILE):
        got = f"no {_DEFAULT_SPEC_FILE} in this folder"
        raise InvalidArgument("spec", got, "a spec file", hint="--spec FILE names one")
    return _DEFAULT_SPEC_FILE


def _print_changes(result: LockResult, report: ReportOptions, *, check: bool) -> None:
    changed = [image for image in result.images if image.change != "kept"]
    for image in changed:
        print_stdout(escape_controls(_describe_change(image)))
    pinned = sum(image.digest is not None for image in result.images)
    facts = (result.file, format_count(pinned, "base image"), f"{len(changed)} {'would change' * check or 'changed'}")
    print_summary(facts, report)


def _describe_change(image: LockedImage) -> str:
    old, new = (shorten_digest(digest) if digest else "none" for digest in (image.previous, image.digest))
    return f"{image.reference}  {old} → {new}"
