"""`just image-check` builds the image without a container engine, and buys a ticket on its processes.

It executes the Dockerfile's instructions in copies of a clean Debian root, which debootstrap makes. It needs
root, apt-get and a network. Then each process runs in a chroot as the image's user, without capabilities, on
a read-only root with an empty /tmp and with /data, as in a container of compose.yaml. Two things differ from
an engine: Python comes from Debian instead of the base image, and the network and memory aren't isolated.
"""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import httpx

from sandbox.log import write
from sandbox.processes import ROOT, Process, groups
from settings import Settings
from tests.support.stack import Stack, environment_of, settings_from

TOOLS = ROOT / ".tools" / "image"
RELEASE, PYTHON = "trixie", "3.13"
"""The Debian release of the base image `python:3.13-slim`, and the version of Python that both have."""

PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"

ENTER = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount --bind "$2" "$1/data"
mount -t proc proc "$1/proc"
shift 2
exec "$@"
"""
"""Runs a command where the folder $1 is read-only, with the folder $2 at /data. Only it sees the mounts."""


@dataclass
class Stage:
    """A root file system that instructions of a Dockerfile change, and the settings of its processes."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"
    user: str = "0:0"

    def copied_to(self, root: Path) -> "Stage":
        run("cp", "--archive", "--reflink=auto", str(self.root), str(root))
        return replace(self, root=root, environment=dict(self.environment))

    def path(self, name: str) -> Path:
        """The place of a path in the image, which may be relative to the present folder."""
        return self.root / os.path.normpath(os.path.join(self.folder, name)).lstrip("/")

    def inside(
        self, *command: str, data: Path, variables: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """The command line that runs a command as a container of this image would."""
        user, group = self.user.split(":")
        unprivileged = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups"]
        environment = self.environment | dict(variables or {})
        return (
            *("unshare", "--mount", "/bin/sh", "-c", ENTER, "sh", str(self.root), str(data)),
            *("chroot", str(self.root), "/usr/bin/setpriv", "--reuid", user, "--regid", group, *unprivileged),
            *("/usr/bin/env", "-i", f"--chdir={self.folder}", *(f"{k}={v}" for k, v in environment.items())),
            *command,
        )


def run(*command: str, folder: Path = ROOT) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        RuntimeError: it failed. The message contains its output.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def base_root() -> Path:
    """A Debian root with Python and pip, where the base image has them. It is made once."""
    root, unpacked = TOOLS / RELEASE, TOOLS / "debootstrap"
    if not root.exists():
        shutil.rmtree(TOOLS, ignore_errors=True)
        TOOLS.mkdir(parents=True)
        run("apt-get", "download", "debootstrap", folder=TOOLS)
        (package,) = TOOLS.glob("debootstrap_*.deb")
        run("dpkg", "-x", str(package), str(unpacked))
        packages = f"ca-certificates,python{PYTHON},python{PYTHON}-venv,python3-pip"
        run(
            *("env", f"DEBOOTSTRAP_DIR={unpacked}/usr/share/debootstrap", f"{unpacked}/usr/sbin/debootstrap"),
            *("--variant=minbase", f"--include={packages}", RELEASE, f"{root}.partial"),
        )
        (root.with_suffix(".partial") / "usr/local/bin/python").symlink_to(f"/usr/bin/python{PYTHON}")
        root.with_suffix(".partial").rename(root)
    return root


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        yield name, rest.strip()


def built(dockerfile: str, folder: Path) -> Stage:
    """The last stage of a Dockerfile. It knows the instructions that ours has.

    Raises:
        RuntimeError: an instruction failed.
    """
    stages: dict[str, Stage] = {}
    stage = Stage(base_root())
    for name, rest in instructions(dockerfile):
        write(f"{name} {rest}")
        match name:
            case "FROM":
                base, _, alias = rest.partition(" AS ")
                stage = stages.get(base, Stage(base_root())).copied_to(folder / f"stage-{len(stages)}")
                stages[alias or "image"] = stage
            case "ENV":
                known = stage.environment
                known |= dict(
                    Template(word).safe_substitute(known).split("=", 1) for word in shlex.split(rest)
                )
            case "WORKDIR":
                stage.folder = str(Path(stage.folder) / rest)
                stage.path(".").mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = rest.split()
                root = ROOT
                if sources[0].startswith("--from="):
                    root = stages[sources.pop(0).removeprefix("--from=")].root
                for source in sources:
                    _copy(root / source.strip("/"), stage.path(target), into=target.endswith("/"))
            case "RUN":
                _run_in(stage, rest)
            case "USER":
                stage.user = rest
            case _:
                raise RuntimeError(f"unknown instruction: {name}")
    return stage


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if source.is_dir():  # its contents
        # .dockerignore leaves these out of the build context, but not out of a stage.
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc") if source.is_relative_to(ROOT) else None
        shutil.copytree(source, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    else:
        target = target / source.name if into else target
        target = target / source.name if target.is_dir() else target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _run_in(stage: Stage, command: str) -> None:
    """Run a shell command of the build as root. It may write, and has a network."""
    environment = dict(stage.environment)
    shutil.copy("/etc/resolv.conf", stage.root / "etc/resolv.conf")
    if certificates := os.environ.get("PIP_CERT"):  # of a proxy between this machine and the registry
        shutil.copy(certificates, stage.root / "tmp/certificates.pem")
        environment["PIP_CERT"] = "/tmp/certificates.pem"  # noqa: S108 - in the root of the build
    variables = [f"{key}={value}" for key, value in environment.items()]
    enter = ["chroot", str(stage.root), "/usr/bin/env", "-i", f"--chdir={stage.folder}", *variables]
    run(*enter, "/bin/sh", "-c", command)


class Container:
    """Runs processes of the image."""

    def __init__(self, image: Stage, data: Path) -> None:
        self.image = image
        self.data = data

    def run(self, *command: str) -> str:
        return run(*self.image.inside(*command, data=self.data))

    def process(self, process: Process, environment: Mapping[str, str]) -> Process:
        """The process of a marketplace, in a container of the image instead of the checkout."""
        _, app, _, host, _, port = process.command
        variables = {**environment, "DATA_DIR": "/data", "GRANIAN_HOST": host}
        command = self.image.inside("granian", app, "--port", port, data=self.data, variables=variables)
        return replace(process, command=command, environment={})


def check_confinement(container: Container) -> None:
    """
    Raises:
        AssertionError: a process has more rights than in a container, or an operator command doesn't work.
    """
    user = container.run("python", "-c", "import os; print(os.getuid(), os.getgid(), os.getgroups())")
    assert user == "10001 10001 []\n", user
    status = container.run("cat", "/proc/self/status")
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), status
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE), status
    places = "/app /venv /usr /etc /data /tmp"
    writable = "import os, sys; print(*(p for p in sys.argv[1:] if os.access(p, os.W_OK)))"
    found = container.run("python", "-c", writable, *places.split())
    assert found == "/data /tmp\n", found
    assert "provision" in container.run("python", "-m", "ops", "--help")
    bytecode = container.run("python", "-c", "import web.app; print(web.app.__cached__)").strip()
    assert (container.image.root / bytecode.lstrip("/")).exists(), f"{bytecode} wasn't compiled"


async def buy_a_ticket(container: Container, data: Path) -> None:
    """Start a marketplace whose servers run here, and whose processes run in containers."""
    environment = environment_of(data)
    stack = Stack(data, settings_from(environment), environment)
    *servers, services = groups(stack.settings)
    try:
        for group in servers:
            for process in group:
                await stack.run(process)
        run("chown", "-R", container.image.user, str(data))
        variables = {**environment, "DATA_DIR": "/data"}
        for command in ("provision", "migrate"):
            line = container.image.inside("python", "-m", "ops", command, data=data, variables=variables)
            write(await asyncio.to_thread(run, *line))
        for process in services:
            if process.ready is not None:
                began = time.monotonic()
                await stack.run(container.process(process, environment))
                write(f"{process.name} is ready after {time.monotonic() - began:.1f} s")
        page = await _get(stack.settings)
        assert "/static/" in page
        write(await asyncio.to_thread(run, sys.executable, "-m", "sandbox.purchase", "--url", stack.web))
    except BaseException:
        for log in sorted(data.glob("*.log")):
            write(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        raise
    finally:
        await stack.close()


async def _get(settings: Settings) -> str:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        return (await http.get(settings.site)).raise_for_status().text


def main() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit("This needs root on a Debian or Ubuntu, because it uses chroot and debootstrap.")
    os.umask(0o022)
    began = time.monotonic()
    with TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        image = built((ROOT / "Dockerfile").read_text(), Path(name))
        write(f"The image is built after {time.monotonic() - began:.0f} s.")
        data = Path(name) / "data"
        data.mkdir(mode=0o700)
        os.chown(data, *map(int, image.user.split(":")))
        container = Container(image, data)
        check_confinement(container)
        write("Processes are confined, and the operator commands work.")
        asyncio.run(buy_a_ticket(container, data))
    write(f"A ticket was bought on processes of the image. Total: {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
