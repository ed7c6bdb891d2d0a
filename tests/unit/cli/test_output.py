"""What is printed on stdout and stderr: exact bytes in a pipe, escaped text on a terminal."""

import os

import pytest

from lamina.cli import output
from lamina.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain é", "plain é"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\nb", "a\\nb"),
        ("\u202e", "\\u202e"),
        ("\udcff", "\\udcff"),
        ("a b", "a b"),
    ],
)
def test_control_characters_are_escaped(text: str, escaped: str) -> None:
    assert output.escape_controls(text) == escaped


def test_line_ends_of_several_lines_stay() -> None:
    assert output.escape_lines("a\x07\nb\r") == "a\\x07\nb\\r"


def test_a_line_of_a_result_has_the_bytes_of_file_names(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for text in ("é", os.fsdecode(b"\xff"), "\ud800"):
        output.print_stdout(text)
    output.flush()
    assert capfdbinary.readouterr().out == "é\n".encode() + b"\xff\n" + b"\\ud800\n"


def test_a_message_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_stderr("at https://user:hunter2@host/x\nmore")
    printed = capsys.readouterr().err
    assert "hunter2" not in printed
    assert printed.count("\n") == 1


def test_the_output_of_a_script_is_printed_as_it_is_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_script_output("a\tb\n\x1b[31mred\n\n")
    assert capsys.readouterr().err == "a\tb\n\x1b[31mred\n"


def test_an_image_goes_to_a_file_or_to_stdout_but_not_to_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with output.open_output("image.tar") as target:
        assert target == "image.tar"
    with output.open_output("-") as target:
        assert not isinstance(target, str)
        target.write(memoryview(b"image"))
    assert capfdbinary.readouterr().out == b"image"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(InvalidArgument, match="stdout: got a terminal") as caught, output.open_output("-"):
        pass
    assert "docker load" in caught.value.hint
