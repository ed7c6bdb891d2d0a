"""The declaration of an argument: its parser, default, flags and key in a spec file, in one place.

An argument is a key of a `TypedDict`: ``name: Annotated[type, Argument(…), Flag(…), …]``. Specs, spec files and the
command line read the declaration. The help of every command needs it, so this module imports almost nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Flag(NamedTuple):
    """A flag of the command line.

    Attributes:
        help: its text in the help.
        metavar: what the help calls its value; None for the name of its type.
        name: the flag, such as ``--max-layers``; empty if that is what it gives, with dashes. A name without dashes is
            the metavar of positional arguments.
        value_type: the type of its value, or the texts to choose from; bool for a flag without a value.
        default: its value where it is not given.
        is_repeatable: whether it may be given several times; its values are a list then.
        is_hidden: whether it is an old name, which the help leaves out.
        convert: returns the argument's value for the flag's.

    """

    help: str
    metavar: str | None = None
    name: str = ""
    value_type: type[object] | Sequence[str] = str
    default: str | None = None
    is_repeatable: bool = False
    is_hidden: bool = False
    convert: Callable[[Any], Any] = lambda value: value

    @property
    def parameter(self) -> str:
        """The name of the flag's value in Python."""
        return self.name.strip("-[].").replace("-", "_").lower()


def list_flags(name: str, annotation: Any) -> tuple[Flag, ...]:
    """Return the flags in the metadata of an annotation of ``name``, each with its own name."""
    own_name = f"--{name.replace('_', '-')}"
    flags = (item for item in annotation.__metadata__ if isinstance(item, Flag))
    return tuple(flag if flag.name else flag._replace(name=own_name) for flag in flags)


class Argument(NamedTuple):
    """The declaration of an argument, apart from its name and type.

    Attributes:
        parse: takes the argument's name and a value, and returns the checked value.
        default: the value of an argument that is not given, as a user would write it.
        description: what it means, its values and what None stands for, in sentences. It is the text for the
            docstrings of the public functions and the schema of spec files.
        key: dockerTools' name for it; empty if that is the Python name in camel case.
        old_names: names that still mean the same.
        rebase: takes a value from a spec file and the file's folder, and joins relative paths in the value to the
            folder; None if the argument holds no paths.
        in_spec_file: whether a spec file may give it.
        flags: the flags that give it; `list_arguments` adds them.

    """

    parse: Callable[[str, Any], Any]
    default: object
    description: str
    key: str = ""
    old_names: tuple[str, ...] = ()
    rebase: Callable[[Any, "Path"], Any] | None = None
    in_spec_file: bool = True
    flags: tuple[Flag, ...] = ()


def list_arguments(table: type[Any]) -> Mapping[str, Argument]:
    """Return what the keys of the `TypedDict` ``table`` declare, by name, in their order."""
    return {
        name: annotation.__metadata__[0]._replace(flags=list_flags(name, annotation))
        for name, annotation in table.__annotations__.items()
    }


def switch(value: object, text: str, *, name: str = "", is_hidden: bool = False) -> Flag:
    """Declare a flag that takes no value, and gives the argument ``value``; ``text`` is its help."""
    return Flag(text, name=name, value_type=bool, is_hidden=is_hidden, convert=lambda _: value)


def repeatable(metavar: str, text: str, convert: Callable[[Sequence[str]], object] = list, *, name: str = "") -> Flag:
    """Declare a flag that may be given several times; ``text`` is its help, ``convert`` as in `Flag`."""
    return Flag(text, metavar, name, is_repeatable=True, convert=convert)


def words(metavar: str, text: str, *, name: str = "") -> Flag:
    """Declare a flag of words with commas between them, which may be given several times; ``text`` is its help."""
    return repeatable(metavar, text, lambda texts: [word for item in texts for word in item.split(",")], name=name)


def entries(kind: str, metavar: str, text: str) -> Flag:
    """Declare the flag ``--KIND`` of declared entries, which may be given several times.

    Args:
        kind: the key of such an entry in a spec file, such as ``dir``.
        metavar: the form of its value.
        text: its help.

    """
    return repeatable(metavar, text, lambda texts: [{kind: item} for item in texts], name=f"--{kind}")
