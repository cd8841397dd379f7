"""Python tools that check our files and generate code from them, installed when first needed."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from sandbox.processes import ROOT

FOLDER = ROOT / ".tools"


def installed(name: str) -> Path:
    """The folder of the commands in `requirements/NAME.txt`, in the locked versions.

    Installing them needs uv.
    Another process that also needs them waits for the installation.

    Raises:
        AssertionError: uv is missing or failed.
    """
    folder, locked = FOLDER / name, ROOT / "requirements" / f"{name}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    environment, done = folder / "venv", folder / "installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done.exists() and done.read_bytes() == locked.read_bytes()):
            run("uv", "venv", "--quiet", "--clear", "--python", ">=3.11,<3.14", str(environment))
            run("uv", "pip", "sync", "--quiet", "--require-hashes", "--python", str(environment), str(locked))
            done.write_bytes(locked.read_bytes())
    return environment / "bin"


def run(command: str, *arguments: str, folder: Path = ROOT) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        AssertionError: it failed. The message contains its output.
    """
    path = shutil.which(command)
    assert path is not None, f"{command} is missing"
    done = subprocess.run(  # noqa: S603 - the commands are those of our tests
        [path, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{command} {' '.join(arguments)}:\n{output}"
    return output
