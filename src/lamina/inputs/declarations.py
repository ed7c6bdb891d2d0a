"""The declaration of an argument: its parser, default, flags and key in a spec file, in one place.

An argument is a key of a `TypedDict`: ``name: Annotated[type, Argument(…), Flag(…), …]``. Specs, spec files and the
command line read the declaration. The help of every command needs it, so this module imports almost nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


Section = Literal["", "image", "config", "files", "sources", "layers", "scripts", "registry", "speed", "output"]

# The sections of the help, in its order. What most people need comes first; the end stays on the screen.
SECTIONS: Mapping[Section, str] = {
    "": "Options",
    "image": "Image",
    "config": "Container config",
    "files": "Files in the image",
    "sources": "Sources of store paths",
    "layers": "Layers",
    "scripts": "Scripts",
    "registry": "Registries",
    "speed": "Speed",
    "output": "Output",
}

# The work that needs an argument first: to plan the layers, to make the customisation layer and the config, to pack and
# write the layers, or to write them to an archive.
Phase = Literal["plan", "draft", "write", "archive"]


class Flag(NamedTuple):
    """A flag of the command line.

    Attributes:
        help: its text in the help.
        metavar: what the help calls its value; None for the name of its type.
        name: the flag, such as ``--max-layers``; empty if it is the name of the argument with dashes. A name without
            dashes is the metavar of positional arguments.
        value_type: the type of its value, or the strings to choose from; bool for a flag without a value.
        default: its value if it is not given.
        is_repeatable: whether it may be given several times; its values are a list then.
        is_hidden: whether it is an old name, which the help leaves out.
        completion: what a shell offers for its value: ``file``, ``folder``, or the strings to choose from; empty for
            nothing.
        section: the section of the help; empty for that of its argument.
        phase: the first phase that uses it; None for that of its argument.
        short: a second name of one letter, such as ``-q``.
        old_values: old strings that still mean one of those to choose from.
        convert: takes the value of the flag, and returns the value of the argument.
        parse: checks the value of a flag that gives no argument; as in `Argument`.

    """

    help: str
    metavar: str | None = None
    name: str = ""
    value_type: type[object] | Sequence[str] = str
    default: str | None = None
    is_repeatable: bool = False
    is_hidden: bool = False
    convert: Callable[[Any], Any] = lambda value: value
    completion: str | Sequence[str] = ""
    section: Section = ""
    phase: Phase | None = None
    short: str = ""
    old_values: Mapping[str, str] = MappingProxyType({})
    parse: Callable[[str, Any], Any] | None = None

    @property
    def written_name(self) -> str:
        """The name in an error: that of the option, or the metavar of positional arguments without its marks."""
        return self.name.strip("[].")

    @property
    def parameter(self) -> str:
        """The name of the flag's value in Python; that of positional arguments is in the plural."""
        ending = "s" if self.name.endswith("...") else ""
        return self.name.strip("-[].").replace("-", "_").lower() + ending


def list_flags(name: str, annotation: Any) -> tuple[Flag, ...]:
    """Return the flags in the annotation of the argument ``name``, each with the name of its option."""
    own_name = f"--{name.replace('_', '-')}"
    flags = (item for item in annotation.__metadata__ if isinstance(item, Flag))
    return tuple(flag if flag.name else flag._replace(name=own_name) for flag in flags)


class Argument(NamedTuple):
    """The declaration of an argument, apart from its name and type.

    Attributes:
        parse: takes the argument's name and a value, and returns the checked value.
        default: the value of an argument that is not given, as a user would write it.
        description: what it means, its values and what None stands for, in sentences. The docstrings of the public
            functions and the schema of spec files use it.
        key: dockerTools' name for it; empty if that is the Python name in camel case.
        old_names: names that still mean the same.
        rebase: takes a value from a spec file and the file's folder, and joins relative paths in the value to the
            folder; None if the argument holds no paths.
        in_spec_file: whether a spec file may give it.
        section: the section of the help for its flags.
        phase: the first phase that uses it. A verb has the flags of the phases that it goes through.
        flags: the flags that give it; `list_arguments` adds them.

    """

    parse: Callable[[str, Any], Any]
    default: object
    description: str
    key: str = ""
    old_names: tuple[str, ...] = ()
    rebase: Callable[[Any, "Path"], Any] | None = None
    in_spec_file: bool = True
    section: Section = "image"
    phase: Phase = "draft"
    flags: tuple[Flag, ...] = ()

    def parse_given(self, name: str, value: Any) -> Any:
        """Check a value under the ``name`` that the user wrote; return what the public functions take for it.

        That is the checked value, but ``now`` stays as it is: its time is that of the build.
        """
        parsed = self.parse(name, value)
        return value if parsed is None else parsed


def list_arguments(table: type[Any]) -> Mapping[str, Argument]:
    """Return the declarations of the keys of the `TypedDict` ``table``, by name, in their order."""
    return {name: _read_declaration(name, annotation) for name, annotation in table.__annotations__.items()}


def _read_declaration(name: str, annotation: Any) -> Argument:
    declared: Argument = annotation.__metadata__[0]
    flags = tuple(
        flag._replace(section=flag.section or declared.section, phase=flag.phase or declared.phase)
        for flag in list_flags(name, annotation)
    )
    return declared._replace(flags=flags)


def switch(value: object, text: str, *, name: str = "", is_hidden: bool = False) -> Flag:
    """Declare a flag that takes no value, and gives the argument ``value``; ``text`` is its help."""
    return Flag(text, name=name, value_type=bool, is_hidden=is_hidden, convert=lambda _: value)


def repeatable(metavar: str, text: str, convert: Callable[[Sequence[str]], object] = list, **more: Any) -> Flag:
    """Declare a flag that may be given several times; ``text`` is its help, the rest as in `Flag`."""
    return Flag(text, metavar, is_repeatable=True, convert=convert, **more)


def words(metavar: str, text: str, **more: Any) -> Flag:
    """Declare a flag of words with commas between them, which may be given several times; ``text`` is its help."""
    return repeatable(metavar, text, lambda texts: [word for item in texts for word in item.split(",")], **more)


def entries(kind: str, metavar: str, text: str, **more: Any) -> Flag:
    """Declare the flag ``--KIND`` of declared entries, which may be given several times.

    Args:
        kind: the key of such an entry in a spec file, such as ``dir``.
        metavar: the form of its value.
        text: its help.
        more: the rest of `Flag`.

    """
    return repeatable(metavar, text, lambda texts: [{kind: item} for item in texts], name=f"--{kind}", **more)
