"""`python -m sandbox.reset` removes all stored data."""

import os
import shutil
import sys
from pathlib import Path

import settings
from sandbox.lock import NAME, Refused, locked
from sandbox.log import write
from sandbox.processes import ROOT


def reset(data_dir: Path) -> str:
    """Remove a data folder of Stagedoor.

    Raises:
        Refused: the folder is in use, or isn't a data folder of Stagedoor.
    """
    if not data_dir.exists():
        return f"{data_dir} doesn't exist, so there is nothing to remove."
    folder = data_dir.resolve()
    if not (folder / NAME).is_file() or any(folder in (home, *home.parents) for home in (ROOT, Path.home())):
        raise Refused(f"{data_dir} isn't a data folder of Stagedoor. Nothing was removed.")
    with locked(folder):
        shutil.rmtree(folder)
    return f"Removed {data_dir}."


def main() -> int:
    os.chdir(ROOT)
    try:
        write(reset(settings.load().data_dir))
    except Refused as refusal:
        write(str(refusal))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
