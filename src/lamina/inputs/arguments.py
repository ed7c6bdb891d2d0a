"""The table of arguments, for the command line, spec files and Python.

Each key of `ImageArguments` declares an argument: its type, its parser, its default, its flags with their help, and its
key in a spec file. The modules of `argument_groups` have the keys. To add an argument, add a key there, and what its
parser returns to `lamina.inputs.spec.Spec`.

The help of every command needs the table, so the types that other rooms define are texts, which only type checkers
resolve.
"""

from lamina.inputs.argument_groups.config import ConfigArguments
from lamina.inputs.argument_groups.contents import ContentArguments
from lamina.inputs.argument_groups.layers import LayerArguments
from lamina.inputs.argument_groups.output import OutputArguments
from lamina.inputs.argument_groups.paths import StrPath
from lamina.inputs.argument_groups.root import RootArguments
from lamina.inputs.argument_groups.sources import StoreArguments
from lamina.inputs.declarations import list_arguments


class ImageArguments(
    StoreArguments, ContentArguments, LayerArguments, ConfigArguments, RootArguments, OutputArguments, total=False
):
    """The arguments of `lamina.stream_layered_image`, under their Python names."""


ARGUMENTS = list_arguments(ImageArguments)

__all__ = ["ARGUMENTS", "ImageArguments", "StoreArguments", "StrPath"]
