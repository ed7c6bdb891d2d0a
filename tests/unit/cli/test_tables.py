"""Tables are aligned; on a terminal they are coloured and no line wraps."""

from __future__ import annotations

from functools import partial

import pytest
from tests.support.terminal import capture

from lamina.cli.tables import Column, cut, measure, print_fields, print_table

COLUMNS = [
    Column("LAYER", is_number=True),
    Column("PATHS", is_flexible=True),
    Column("WHY", is_flexible=True, style="dim"),
]
ROWS = [("9", "glibc-2.40-66", "large path"), ("10", "python3-3.12.8 +37", "large path and what it needs")]
show = partial(print_table, COLUMNS, ROWS)


def test_numbers_are_aligned_to_the_right_and_words_to_the_left() -> None:
    assert capture(show) == [
        "LAYER  PATHS               WHY",
        "    9  glibc-2.40-66       large path",
        "   10  python3-3.12.8 +37  large path and what it needs",
    ]


def test_a_pipe_gets_no_colours_and_whole_lines_whatever_its_width() -> None:
    assert capture(show, colours=True) == capture(show)
    assert max(map(len, capture(partial(print_table, COLUMNS, [("1", "x" * 200, "")])))) == 212


@pytest.mark.parametrize("columns", [60, 40, 25, 17])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = capture(show, columns=columns)
    assert len(lines) == 3
    assert max(map(len, lines)) <= columns
    assert lines[2].startswith("   10  ")


def test_the_widest_flexible_columns_are_cut_and_the_count_stays() -> None:
    assert capture(show, columns=40) == [
        "LAYER  PATHS            WHY",
        "    9  glibc-2.40-66    large path",
        "   10  python3-3.… +37  large path and …",
    ]


def test_a_whole_table_is_not_cut() -> None:
    assert capture(lambda: show(is_whole=True), columns=20) == capture(show)


def test_the_heading_is_bold_and_a_secondary_column_dim() -> None:
    lines = capture(show, columns=80, colours=True)
    assert lines[0] == "\x1b[1mLAYER\x1b[0m  \x1b[1mPATHS\x1b[0m               \x1b[1mWHY\x1b[0m"
    assert lines[1] == "    9  glibc-2.40-66       \x1b[2mlarge path\x1b[0m"


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_turned_off(variable: str, value: str) -> None:
    def show_without_colours() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(variable, value)
            show()

    assert capture(show_without_colours, columns=80, colours=True) == capture(show, columns=80)


def test_control_characters_are_escaped() -> None:
    assert capture(partial(print_table, [Column("A")], [("\x1b[31mred\nline",)])) == ["A", "\\x1b[31mred\\nline"]
    assert capture(partial(print_fields, "\x1btitle", [("a", "\x07")])) == ["\\x1btitle", "  a  \\x07"]


def test_a_table_without_rows_prints_nothing() -> None:
    assert capture(partial(print_table, COLUMNS, [])) == []


def test_fields_are_aligned_below_their_title() -> None:
    fields = partial(print_fields, "hello-2.12.1", [("size", "3.4 KiB"), ("closure size", "29.1 MiB")])
    assert capture(fields) == ["hello-2.12.1", "  size          3.4 KiB", "  closure size  29.1 MiB"]
    assert capture(fields, columns=20) == ["hello-2.12.1", "  size          3.4…", "  closure size  29.…"]


def test_wide_and_combining_characters_are_measured() -> None:
    assert (measure("漢字"), measure("e\u0301"), measure("a漢")) == (4, 1, 3)
    assert cut("漢字漢字", 5) == "漢字…"


def test_a_count_that_has_no_room_is_cut_too() -> None:
    assert (cut("glibc +37", 8), cut("glibc +37", 5), cut("glibc +37", 4)) == ("gli… +37", "… +37", "gli…")
