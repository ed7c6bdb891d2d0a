"""The commands of docker that podman has under the same names."""

from __future__ import annotations

from lamina.engines.engine import WriteArchive
from lamina.engines.program import EngineProgram


def rename_image(program: EngineProgram, reference: str, name: str) -> None:
    """Call the image ``reference`` only ``name``. If that fails, it has no name any more."""
    try:
        program.call("tag", reference, name)
    finally:
        program.call("rmi", reference)


def load_archive(program: EngineProgram, write: WriteArchive) -> None:
    """Load the archive that ``write`` writes."""
    program.feed(write, "load", "--quiet")


def start_container(
    program: EngineProgram, name: str, arguments: tuple[str, ...], *flags: str, has_terminal: bool
) -> int:
    """Become the program that starts the image ``name``; ``flags`` are those of one engine."""
    terminal = ("--tty",) if has_terminal else ()
    return program.replace_process("run", "--rm", "--interactive", *terminal, *flags, name, *arguments)
