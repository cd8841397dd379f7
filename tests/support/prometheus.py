"""Metrics of processes, and Prometheus's own judgment of the alert rules on them."""

import asyncio
import fcntl
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sandbox.processes import ROOT
from settings import SERVICES

FOLDER = ROOT / ".tools" / "prometheus"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"

Labels = frozenset[tuple[str, str]]


def promtool() -> Path:
    """Prometheus's tool for rules, from the Debian package, which is unpacked but not installed.

    Another process that also needs it waits for the download.

    Raises:
        RuntimeError: there is no apt here, or the download failed.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    tool = FOLDER / "usr" / "bin" / "promtool"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tool.exists():
            _download()
            print(_run([str(tool), "--version"]).splitlines()[0])  # noqa: T201 - to know what was downloaded
    return tool


def _download() -> None:
    missing = [command for command in ("apt-get", "dpkg") if shutil.which(command) is None]
    if missing:
        raise RuntimeError(
            f"promtool comes from a Debian package, and {' and '.join(missing)} is missing here. "
            f"Put promtool into {FOLDER / 'usr' / 'bin'}: https://prometheus.io/download/"
        )
    with TemporaryDirectory(dir=FOLDER) as folder:
        _run(["apt-get", "download", "prometheus"], Path(folder))
        (package,) = Path(folder).glob("prometheus_*.deb")
        unpacked = Path(folder) / "unpacked"
        _run(["dpkg", "-x", str(package), str(unpacked)])
        shutil.copytree(unpacked / "usr" / "bin", FOLDER / "usr" / "bin", dirs_exist_ok=True)


def _run(command: list[str], folder: Path = ROOT) -> str:
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)  # noqa: S603 - fixed commands
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {result.stdout}{result.stderr}")
    return result.stdout


def check_rules(file: Path) -> None:
    """Let promtool parse a file of rules.

    Raises:
        RuntimeError: the file is invalid.
    """
    _run([str(promtool()), "check", "rules", str(file)])


def check_config(file: Path) -> None:
    """Let promtool parse Prometheus's configuration, and the rules that it names.

    Raises:
        RuntimeError: a file is invalid or missing.
    """
    _run([str(promtool()), "check", "config", str(file)])


def check_expectations(file: Path) -> None:
    """Let promtool evaluate rules on made-up metrics, as its unit tests describe.

    Raises:
        AssertionError: the result isn't the expected one. The message is that of promtool.
    """
    try:
        _run([str(promtool()), "test", "rules", str(file)])
    except RuntimeError as error:
        raise AssertionError(str(error)) from None


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def names_in(expression: str) -> set[str]:
    """The names of metrics in an expression. Ours and those of libraries begin with these words."""
    return set(re.findall(r"\b(?:stagedoor|http|faststream|process)_\w+|\bup\b", expression))


@dataclass(frozen=True, repr=False)
class Scrape:
    """What Prometheus read from all processes at one moment."""

    at: float
    """In seconds of a monotonic clock."""
    values: Mapping[tuple[str, Labels], float]
    counters: frozenset[str]
    """The names of samples that only grow."""

    def __repr__(self) -> str:
        """Our samples that aren't 0, without those of histograms: all of them would fill pages."""
        shown = (
            f"{_series(name, labels)} {value:g}"
            for (name, labels), value in self.values.items()
            if value and name.startswith("stagedoor_") and not name.endswith(("_bucket", "_created", "_sum"))
        )
        return "\n".join(["", *sorted(shown)])

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels."""
        wanted = labels.items()
        return sum(
            value for (found, has), value in self.values.items() if found == name and wanted <= set(has)
        )


async def scrape(urls: Mapping[str, str]) -> Scrape:
    """Read the metrics of processes.

    Args:
        urls: by job.
    """
    async with httpx.AsyncClient(timeout=10) as http:
        texts = await asyncio.gather(*(_read(http, url) for url in urls.values()))
    return parsed(dict(zip(urls, texts, strict=True)))


async def _read(http: httpx.AsyncClient, url: str) -> str | None:
    try:
        answer = await http.get(f"{url}/metrics")
    except httpx.HTTPError:
        return None
    return answer.text if answer.status_code == 200 else None


def parsed(texts: Mapping[str, str | None]) -> Scrape:
    """The samples of metrics in Prometheus's text format, by job. None is a process that doesn't answer."""
    values: dict[tuple[str, Labels], float] = {}
    counters = set()
    for job, text in texts.items():
        target = {"job": job, "instance": f"{job}:80"}
        values["up", frozenset(target.items())] = float(text is not None)
        for family in text_string_to_metric_families(text or ""):
            for sample in family.samples:
                values[sample.name, frozenset({**sample.labels, **target}.items())] = sample.value
                if family.type in ("counter", "histogram"):
                    counters.add(sample.name)
    return Scrape(time.monotonic(), values, frozenset(counters))


def own_metrics(job: str, prefix: str, at: float | None = None) -> Scrape:
    """The metrics of this process whose names begin with `prefix`, as if it were the process `job`.

    All processes seem to answer.

    Args:
        at: the time of the measurement, if it isn't now.
    """
    found = parsed({job: generate_latest().decode()})
    values = {key: value for key, value in found.values.items() if key[0].startswith(prefix)}
    up = {("up", frozenset({("job", str(name))})): 1.0 for name in (*SERVICES, "web")}
    return replace(found, values=up | values, at=found.at if at is None else at)


MINUTES = 30
"""For how long the metrics go on, as between two scrapes. It is longer than any rule waits."""


async def assert_firing(before: Scrape, after: Scrape, *alerts: str, apart_from: str = "") -> None:
    """Check that exactly these alerts fire if the processes go on as between the two scrapes.

    Counters grow at the same rate, and gauges keep their last value.

    Args:
        apart_from: an alert that may fire too, because it depends on the speed of the machine.

    Raises:
        AssertionError: other alerts fire. The message is that of promtool.
    """
    await asyncio.to_thread(_assert_firing, before, after, alerts, apart_from)


def _assert_firing(before: Scrape, after: Scrape, alerts: Iterable[str], apart_from: str) -> None:
    used = names_in(" ".join(rule["expr"] for rule in rules()))
    series = [
        {"series": _series(name, labels), "values": f"{start}+{growth}x{MINUTES}"}
        for (name, labels), value in after.values.items()
        if name in used
        for start, growth in [_course(name, before.values.get((name, labels), 0.0), value, before, after)]
    ]
    firing = {
        "expr": f'group by (alertname) (ALERTS{{alertstate="firing", alertname!="{apart_from}"}})',
        "eval_time": f"{MINUTES}m",
        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)],
    }
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [firing]}],
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "test.yaml"
        file.write_text(json.dumps(test))  # JSON is YAML, and faster to write
        check_expectations(file)


def _series(name: str, labels: Labels) -> str:
    return f"{name}{{{', '.join(f'{key}={json.dumps(value)}' for key, value in sorted(labels))}}}"


def _course(name: str, first: float, last: float, before: Scrape, after: Scrape) -> tuple[float, float]:
    """The value at the beginning, and by how much it grows in a minute."""
    if name not in after.counters:
        return last, 0.0
    return last, max(0.0, last - first) * 60 / (after.at - before.at)
