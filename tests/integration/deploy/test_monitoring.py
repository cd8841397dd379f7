"""The alert rules, dashboards and runbooks are valid and fit together."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.processes import ROOT
from tests.support.prometheus import RULES, check_config, check_rules, names_in, rules

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
OVERVIEW = ROOT / "deploy" / "grafana" / "dashboards" / "overview.json"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
CONFIG = ROOT / "deploy/prometheus/prometheus.yaml"
PROMETHEUS: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
ID = re.compile(r"[0-9a-f]{24}|[0-9a-f]{8}-[0-9a-f]{4}-")


def documented() -> set[str]:
    """The metrics in the table of docs/operations.md."""
    table = DOCUMENT.partition("| metric | of | shows |")[2].partition("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row[1:].partition("|")[0])}


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in an expression, without the endings of a histogram's series."""
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names_in(expression)}


def expressions_of(dashboard: Any) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_promtool_accepts_the_alert_rules() -> None:
    check_rules(RULES)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_severity_a_summary_a_duration_and_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    assert re.fullmatch(r"\d+m", rule["for"])
    document, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (document, anchor) == ("docs/operations.md", rule["alert"].lower())
    runbook = DOCUMENT.partition(f"\n### {rule['alert']}\n")[2].partition("\n### ")[0]
    for part in ("**Users:**", "- Look:", "- Do:", "- Over:"):
        assert part in runbook


def test_every_runbook_is_of_an_alert() -> None:
    runbooks = re.findall(r"^### (.+)$", DOCUMENT.partition("\n## Runbooks\n")[2], re.MULTILINE)
    assert runbooks == [rule["alert"] for rule in rules()]


def test_rules_and_dashboards_use_only_documented_metrics() -> None:
    used = {name for rule in rules() for name in metrics_in(rule["expr"])}
    for file in DASHBOARDS:
        used |= {name for each in expressions_of(json.loads(file.read_text())) for name in metrics_in(each)}
    of_prometheus_and_its_client = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
    assert used - documented() - of_prometheus_and_its_client == set()


def served() -> dict[str, dict[str, Any]]:
    """The processes of compose that have metrics, as Prometheus looks up all their instances."""
    commands = {name: container.get("command", []) for name, container in COMPOSE.items()}
    return {
        name: {"names": [name], "type": "A", "port": int(command[command.index("--port") + 1])}
        for name, command in commands.items()
        if "granian" in command and name != "console"  # which has no metrics
    }


def test_promtool_accepts_the_configuration() -> None:
    check_config(CONFIG)


def test_prometheus_reads_the_metrics_of_every_instance_of_every_process_of_compose() -> None:
    configured = {
        job["job_name"]: {key: target[key] for key in ("names", "type", "port")}
        for job in PROMETHEUS["scrape_configs"]
        for target in job["dns_sd_configs"]
    }
    ours = {job: target for job, target in configured.items() if job in COMPOSE}
    assert ours == served(), f"deploy/prometheus/prometheus.yaml: the jobs have to be {served()}"
    assert PROMETHEUS["rule_files"] == [RULES.name]


@pytest.mark.parametrize("file", [RULES, OVERVIEW], ids=lambda file: file.stem)
def test_a_process_that_is_down_is_noticed_whichever_it_is(file: Path) -> None:
    (jobs,) = re.findall(r'\bup\{job=~\\?"([\w|]+)', file.read_text())
    missing = served().keys() - set(jobs.split("|"))
    assert not missing, f"{file.relative_to(ROOT)}: add {missing} to the jobs of `up`"


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_has_unique_panels_that_prometheus_can_draw(file: Path, tmp_path: Path) -> None:
    dashboard = json.loads(file.read_text())
    ids = Counter(panel["id"] for panel in dashboard["panels"])
    assert max(ids.values()) == 1
    assert not ID.search(file.read_text())
    assert dashboard["uid"]
    for panel in dashboard["panels"]:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
            assert panel["targets"]
    # promtool has no command for a single expression, but it parses those of recording rules.
    records = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions_of(dashboard))
    ]
    rule_file = tmp_path / "expressions.yaml"
    rule_file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    check_rules(rule_file)


def data_sources() -> dict[str, Any]:
    """Grafana's data sources by their type, which is also their id."""
    file = ROOT / "deploy/grafana/provisioning/datasources/datasource.yaml"
    sources = yaml.safe_load(file.read_text())["datasources"]
    assert all(source["uid"] == source["type"] for source in sources)
    return {source["type"]: source for source in sources}


def test_grafana_finds_the_dashboards_and_the_data_source_that_they_name() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    assert data_sources()["prometheus"]["isDefault"] is True
    (provider,) = yaml.safe_load((folder / "dashboards/stagedoor.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert DASHBOARDS


TEMPO: dict[str, Any] = yaml.safe_load((ROOT / "deploy/tempo/tempo.yaml").read_text())
TEMPO_OPTIONS = {
    "server.http_listen_port",
    "distributor.receivers.otlp.protocols.grpc.endpoint",
    "distributor.receivers.otlp.protocols.http.endpoint",
    "compactor.compaction.block_retention",
    "storage.trace.backend",
    "storage.trace.wal.path",
    "storage.trace.local.path",
    "usage_report.reporting_enabled",
}
"""Options that the references of Tempo 2.8.2 and 2.10.7 have (docs/sources/tempo/configuration/manifest.md).
Tempo refuses to start with an option that it doesn't know."""


def options_in(configuration: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in configuration.items():
        if isinstance(value, dict):
            yield from options_in(value, f"{before}{name}.")
        else:
            yield before + name


def test_tempo_gets_only_options_that_were_looked_up() -> None:
    assert set(options_in(TEMPO)) <= TEMPO_OPTIONS


def test_processes_send_spans_to_tempo_and_grafana_reads_them_there() -> None:
    container = COMPOSE["tempo"]
    assert container["networks"] == COMPOSE["web"]["networks"][:1] == ["inside"]
    otlp = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]
    port = otlp["http"]["endpoint"].removeprefix("0.0.0.0:")
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://tempo:{port}" in DOCUMENT
    assert data_sources()["tempo"]["url"] == f"http://tempo:{TEMPO['server']['http_listen_port']}"


def test_tempo_reads_its_configuration_and_keeps_its_blocks_in_its_volume() -> None:
    container = COMPOSE["tempo"]
    (volume, mounted) = container["volumes"]
    source, target, mode = mounted.split(":")
    assert (source, mode) == ("./deploy/tempo/tempo.yaml", "ro")
    assert container["command"] == [f"-config.file={target}"]
    folder = volume.partition(":")[2]
    assert TEMPO["storage"]["trace"]["backend"] == "local"
    for store in ("wal", "local"):
        assert TEMPO["storage"]["trace"][store]["path"].startswith(f"{folder}/")
