"""Each alert rule fires above its threshold, only after its time, and not below its threshold."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from settings import SERVICES
from tests.support.prometheus import RULES, check_expectations, rules

Series = dict[str, str]
"""Values by series, as promtool has them: `1+2x60` begins with 1 and grows by 2 a minute."""

LATENCY = 'stagedoor_event_latency_seconds_bucket{job="orders", consumer="c", le="%s"}'
DURATION = 'http_request_duration_seconds_bucket{job="web", path="/", le="%s"}'
REQUESTS = 'http_requests_total{job="web", path="/", status_code="%s"}'
STRIPE = 'stagedoor_stripe_requests_total{job="payments", result="%s"}'
WAITING = 'stagedoor_consumer_pending_messages{job="orders", consumer="c"}'
HANDLED = 'stagedoor_event_latency_seconds_count{job="orders", consumer="c"}'
SENT = 'stagedoor_mail_attempts_total{job="mail", result="sent"}'
ALERTS = 'stagedoor_alerts_total{job="orders", kind="%s"}'

UP: Series = {f'up{{job="{name}"}}': "1x60" for name in (*SERVICES, "web")}
"""That Prometheus reads the metrics of every process."""

CASES: Mapping[str, tuple[Series, Series]] = {
    "ProcessDown": ({'up{job="web"}': "0x60"}, {'up{job="web"}': "1x60"}),
    "NatsUnavailable": ({'stagedoor_ready{part="nats"}': "0x60"}, {'stagedoor_ready{part="nats"}': "1x60"}),
    "DatabaseUnavailable": (
        {'stagedoor_ready{part="database"}': "0x60"},
        {'stagedoor_ready{part="database"}': "1x60"},
    ),
    "NotReady": ({'stagedoor_ready{part="search"}': "0x60"}, {'stagedoor_ready{part="search"}': "1x60"}),
    "HighErrorRate": (
        {REQUESTS % 200: "0+90x60", REQUESTS % 500: "0+10x60"},
        {REQUESTS % 200: "0+98x60", REQUESTS % 500: "0+2x60"},
    ),
    "SlowRequests": (
        {DURATION % "1": "0+90x60", DURATION % "5": "0+100x60", DURATION % "+Inf": "0+100x60"},
        {DURATION % "1": "0+99x60", DURATION % "5": "0+100x60", DURATION % "+Inf": "0+100x60"},
    ),
    "AdmissionRefusing": (
        {'stagedoor_web_admission_rejected_total{limiter="pages", status="503"}': "0+10x60"},
        {
            'stagedoor_web_admission_rejected_total{limiter="pages", status="503"}': "0+1x60",
            'stagedoor_web_admission_rejected_total{limiter="pages", status="429"}': "0+90x60",
        },
    ),
    "OutboxOld": (
        {"stagedoor_outbox_oldest_message_age_seconds": "61x60"},
        {"stagedoor_outbox_oldest_message_age_seconds": "59x60"},
    ),
    "ConsumerStuck": ({WAITING: "1x60", HANDLED: "7x60"}, {WAITING: "1x60", HANDLED: "7+1x60"}),
    "ConsumerLag": ({WAITING: "1001x60", HANDLED: "0+9x60"}, {WAITING: "999x60", HANDLED: "0+9x60"}),
    "EventsSlow": (
        {LATENCY % "10": "0+90x60", LATENCY % "60": "0+99x60", LATENCY % "+Inf": "0+99x60"},
        {LATENCY % "10": "0+99x60", LATENCY % "60": "0+100x60", LATENCY % "+Inf": "0+100x60"},
    ),
    "DeadLetters": (
        {'stagedoor_dead_letters_stored{consumer="c"}': "1x60"},
        {'stagedoor_dead_letters_stored{consumer="c"}': "0x60"},
    ),
    "StreamNearlyFull": (
        {'stagedoor_stream_bytes{stream="s"}': "81x60", 'stagedoor_stream_max_bytes{stream="s"}': "100x60"},
        {'stagedoor_stream_bytes{stream="s"}': "81x60", 'stagedoor_stream_max_bytes{stream="s"}': "0x60"},
    ),
    "EventsDiscarded": ({ALERTS % "discarded": "0 1x60"}, {ALERTS % "discarded": "1x60"}),
    "TimersLate": (
        {'stagedoor_timers{state="due"}': "1x60", "stagedoor_timer_lateness_seconds_count": "5x60"},
        {'stagedoor_timers{state="due"}': "1x60", "stagedoor_timer_lateness_seconds_count": "0+5x60"},
    ),
    "MailNotSent": (
        {"stagedoor_mail_oldest_queued_age_seconds": "901x60", SENT: "5x60"},
        {"stagedoor_mail_oldest_queued_age_seconds": "901x60", SENT: "0+1x60"},
    ),
    "StripeErrors": (
        {STRIPE % "answered": "0+80x60", STRIPE % "unanswered": "0+20x60"},
        {STRIPE % "answered": "0+80x60", STRIPE % "rejected": "0+20x60"},
    ),
    "StripeBudgetExhausted": (
        {"stagedoor_stripe_budget_wait_seconds_total": "0+40x60"},
        {"stagedoor_stripe_budget_wait_seconds_total": "0+20x60"},
    ),
    "PaymentsUndecided": (
        {"stagedoor_payments_oldest_undecided_age_seconds": "601x60"},
        {"stagedoor_payments_oldest_undecided_age_seconds": "599x60"},
    ),
    "RefundFailed": (
        {'stagedoor_payments_total{outcome="refund_failed"}': "0 1x60"},
        {'stagedoor_payments_total{outcome="declined"}': "0 1x60"},
    ),
    "OperatorNeeded": ({ALERTS % "unpaid": "0 1x60"}, {ALERTS % "stream_full": "0 1x60"}),
}
"""Metrics with which the alert fires, and others with which no alert does."""

MINUTES = {rule["alert"]: int(rule["for"].removesuffix("m")) for rule in rules()}
"""How long each alert waits."""


def expected(minute: int, *alerts: str) -> dict[str, object]:
    """That exactly these alerts fire after this number of minutes."""
    return {
        "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts],
    }


def check(folder: Path, series: Series, *expectations: dict[str, object]) -> None:
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": expectations}
    file = folder / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    check_expectations(file)


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == MINUTES.keys()


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_above_its_threshold_and_only_after_its_time(alert: str, tmp_path: Path) -> None:
    waits = MINUTES[alert]
    early = [expected(waits - 1)] if waits else []
    check(tmp_path, UP | CASES[alert][0], *early, expected(30, alert))


@pytest.mark.parametrize("alert", CASES)
def test_no_alert_fires_below_the_threshold(alert: str, tmp_path: Path) -> None:
    check(tmp_path, UP | CASES[alert][1], *(expected(minute) for minute in (5, 15, 30)))


@pytest.mark.parametrize("process", [*SERVICES, "web"])
def test_a_process_of_which_prometheus_finds_no_instance_is_down(process: str, tmp_path: Path) -> None:
    others = {series: values for series, values in UP.items() if process not in series}
    check(tmp_path, others, expected(0), expected(5, "ProcessDown"))
