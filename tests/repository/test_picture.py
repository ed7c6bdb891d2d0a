"""The picture in the README is a session as it is today."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.paths import REPOSITORY

PICTURE = REPOSITORY / "docs/static/session.svg"


def mask(picture: str) -> str:
    """Return a picture without durations, and without what depends on their lengths."""
    text = re.sub(r"(?:&#160;)+[0-9.]+&#160;m?s(?=</text>)", "", picture)
    return re.sub(r' textLength="[^"]*"', "", text)


def test_the_picture_shows_what_its_commands_print_today(tmp_path: Path) -> None:
    """`script/picture` draws it again if this fails."""
    file = tmp_path / "session.svg"
    subprocess.run([sys.executable, REPOSITORY / "script/picture", file], check=True)
    assert mask(file.read_text(encoding="utf-8")) == mask(PICTURE.read_text(encoding="utf-8"))


def test_the_picture_loads_nothing() -> None:
    addresses = set(re.findall(r"https?://[^\s\"')]+", PICTURE.read_text(encoding="utf-8")))
    assert addresses == {"http://www.w3.org/2000/svg"}
