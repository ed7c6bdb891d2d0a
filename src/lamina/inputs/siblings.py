"""The images that are planned together with another one, by the layering ``shared``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lamina.errors import Error, InvalidArgument, error_context
from lamina.inputs.platforms import expand_platforms
from lamina.messages.redaction import short_repr

if TYPE_CHECKING:
    from lamina.inputs.spec import Spec

SHARED = "shared"


class Siblings:
    """Images that are planned together.

    The object is equal only to itself, so that what the stores say about the images can be kept for all of them.

    Attributes:
        images: the spec of each image, with the name that errors have for it.
    """

    __slots__ = ("__weakref__", "images")

    def __init__(self, images: tuple[tuple[str, Spec], ...] = ()) -> None:
        self.images: tuple[tuple[str, Spec], ...] = images

    def ask_again(self) -> Siblings:
        """Return the same images as another object, for which the stores and links are asked again."""
        return Siblings(self.images)


NO_SIBLINGS = Siblings()


def parse_siblings(name: str, value: Mapping[str, Mapping[str, Any]]) -> Siblings:
    """Check the arguments of sibling images; those that another layering plans are left out.

    Args:
        name: the name of the argument, for errors.
        value: the arguments of each image by a name for it. ``siblings`` among them is not used.

    Raises:
        InvalidArgument: an argument is wrong; the message begins with the name of the image.

    """
    if isinstance(value, Siblings):
        return value
    if not isinstance(value, Mapping):
        raise InvalidArgument(name, short_repr(value), "the arguments of each image, by its name")
    images = tuple(_parse_images(name, value))
    return Siblings(images) if images else NO_SIBLINGS


def _parse_images(name: str, value: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Spec]]:
    from lamina.inputs.spec import Spec

    for key, arguments in value.items():
        if not isinstance(key, str) or not isinstance(arguments, Mapping):
            raise InvalidArgument(name, short_repr({key: arguments}), "the arguments of each image, by its name")
        if arguments.get("layering") == SHARED:
            with error_context(key, Error):
                others = {argument: each for argument, each in arguments.items() if argument != "siblings"}
                for platform, expanded in expand_platforms(others).items():
                    yield " ".join(filter(None, (key, platform))), Spec.parse(expanded)
