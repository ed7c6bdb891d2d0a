"""Do something again whenever a file that an image is made of changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lamina.cli.output import print_stderr
from lamina.cli.reporting import format_count
from lamina.core.names import STORE_DIR
from lamina.errors import Error, InvalidArgument

if TYPE_CHECKING:
    from lamina.cli.image_options import ImageOptions
    from lamina.cli.options import ReportOptions
    from lamina.inputs.arguments import ImageArguments


def repeat_on_change(image: ImageOptions, work: Callable[[ImageArguments], object], report: ReportOptions) -> NoReturn:
    """Call ``work`` with the arguments of the image, and again whenever a file that they name changes.

    An error is printed, and the next change is another try. Only a signal ends it.

    Raises:
        InvalidArgument: the first arguments are wrong, or they name no file that can change.
        InputError: the system does not allow to watch a folder.

    """
    from lamina.cli.failures import Failure
    from lamina.system.file_watch import FileWatch

    arguments = image.make_arguments()
    files = list_files(image, arguments)
    if not files:
        hint = "name a link such as ./result, a --spec file or a --file"
        raise InvalidArgument("--watch", "no file that can change", "at least one", hint=hint)
    while True:
        with FileWatch(files) as watch:
            try:
                arguments = image.make_arguments()
                if not list_files(image, arguments) <= files:
                    files |= list_files(image, arguments)
                    continue  # to watch the new ones too
                work(arguments)
            except Error as error:
                Failure.of(error).print(as_json=report.as_json)
            if not report.is_silent:
                print_stderr(f"watching {format_count(len(files), 'file')}; Ctrl-C ends it")
            changed = watch.wait()
        if not report.is_silent:
            print_stderr(f"{os.path.relpath(changed)} changed")


def list_files(image: ImageOptions, arguments: ImageArguments) -> set[Path]:
    """Return the files outside the store that an image is made of, as far as its arguments name them."""
    return {Path(name) for name in _iterate_names(image, arguments) if _may_change(name)}


def _iterate_names(image: ImageOptions, arguments: ImageArguments) -> Iterator[str]:
    from lamina.rootfs.entries import File

    given: dict[str, Any] = {**arguments}  # ROOTs are a tuple here, as in every command
    if image.spec_file:
        yield image.spec_file.partition("#")[0]
        yield given["lock_file"]
    yield image.container.config or ""
    for root in (*given.get("contents", ()), *given.get("closure", ())):
        yield os.fspath(root).partition("#")[0]
    yield from (entry.source for entry in given.get("tree", ()) if isinstance(entry, File))
    for name in ("from_image", "layering", "rates"):
        if isinstance(given.get(name), (str, os.PathLike)):
            yield os.fspath(given[name])


def _may_change(name: str) -> bool:
    """Return whether there is a file or a link called ``name`` outside the store; a package name is none."""
    return bool(name) and os.path.lexists(name) and not os.path.abspath(name).startswith(f"{STORE_DIR}/")
