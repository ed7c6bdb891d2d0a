"""The images of a spec file that are planned together with the ones that a command is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lamina.inputs.siblings import SHARED, Siblings, parse_siblings

if TYPE_CHECKING:
    from lamina.cli.image_options import ImageOptions
    from lamina.inputs.arguments import ImageArguments
    from lamina.inputs.specfile import SpecTable

# Options that hold for one image only.
_OF_ONE_IMAGE = ("contents", "roots", "name", "tag")


def add_siblings(images: Mapping[str, ImageArguments], options: ImageOptions) -> None:
    """Give each image with the layering ``shared`` the images of its spec file that have it too.

    Args:
        images: the arguments of each image, by the name of its table, to which the siblings are added.
        options: the options of the command line. Except a ROOT and a name, they hold for the siblings as well.

    Raises what `ImageOptions.make_all_arguments` raises.
    """
    shared = [name for name, arguments in images.items() if arguments.get("layering") == SHARED]
    if not shared or not options.spec_file:
        return
    # The argument takes what its parser returns as well, like every other.
    siblings: Any = _find_siblings(images, options, options.spec_file.partition("#")[0])
    for name in shared:
        images[name]["siblings"] = siblings


def _find_siblings(images: Mapping[str, ImageArguments], options: ImageOptions, file: str) -> Siblings:
    from lamina.inputs import specfile

    given = {name: value for name, value in options.given.items() if name not in _OF_ONE_IMAGE}
    others = options._replace(given=given, reference=None)
    found = {
        table.subject: images.get(name) or others.merge(table)
        for name, table in specfile.load_all(file).items()
        if name in images or _is_shared(table, others)
    }
    return parse_siblings("siblings", found)


def _is_shared(table: SpecTable, options: ImageOptions) -> bool:
    layering = options.given.get("layering", table.arguments.get("layering"))
    return bool(layering == SHARED)
