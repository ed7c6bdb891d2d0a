"""The package as a whole: public names, the tree of errors, docstrings, and lazy imports."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from types import ModuleType

import pytest

import lamina
from lamina import errors

MODULES = sorted(module.name for module in pkgutil.walk_packages(lamina.__path__, "lamina."))


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_every_public_name_exists() -> None:
    for name in dir(lamina):
        assert getattr(lamina, name) is not None
    assert {"Stream", "stream_layered_image", "InputError", "__version__"} < {*dir(lamina)}
    with pytest.raises(AttributeError, match="no_such_name"):
        lamina.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_a_star_import_takes_every_public_name() -> None:
    namespace: dict[str, object] = {}
    exec("from lamina import *", namespace)
    assert {*dir(lamina)} <= {*namespace}


def test_every_family_of_errors_is_public() -> None:
    families = {kind.__name__ for kind in _below(errors.Error)}
    assert {name for name in families if not name.startswith("_")} <= {*dir(lamina)}


def test_the_docstring_of_errors_draws_their_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)\s+(\d+)", errors.__doc__ or "")
    assert {name: int(code) for name, code in drawn} == {kind.__name__: kind.exit_code for kind in _below(errors.Error)}


def _below(kind: type[errors.Error]) -> list[type[errors.Error]]:
    return [found for child in kind.__subclasses__() for found in (child, *_below(child))]


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_and_classes_have_docstrings(name: str) -> None:
    module = _module(name)
    for member_name, member in vars(module).items():
        own = getattr(member, "__module__", None) == name and not member_name.startswith("_")
        if own and (inspect.isfunction(member) or inspect.isclass(member)):
            assert member.__doc__, f"{name}.{member_name}"


def test_the_version_is_printed_without_a_framework() -> None:
    code = (
        "import sys; sys.argv = ['lamina', '--version']\n"
        "from lamina.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'click', 'rich', 'sqlite3', 'zipfile', 'tarfile'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == f"lamina {lamina.__version__}\n[]\n"


def test_the_help_of_a_command_imports_no_room_but_the_table_of_arguments_and_no_large_module() -> None:
    """Every start of lamina pays for what the options import."""
    code = (
        "import sys; sys.argv = ['lamina', 'stream', '--help']\n"
        "from lamina.cli.start import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "names = {'.'.join(name.split('.')[:2]) for name in sys.modules if name.startswith('lamina.')}\n"
        "print(sorted(names | {'pathlib', 'hashlib', 'urllib'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = ["lamina.cli", "lamina.errors", "lamina.inputs", "lamina.messages", "lamina.system", "lamina.version"]
    assert ran.stderr == f"{rooms}\n"
