"""The type of file names in arguments."""

import os

StrPath = str | os.PathLike[str]
