"""Metrics of payments exist before their first increase, so that Prometheus sees it."""

import ast
import subprocess
import sys
from itertools import product
from typing import get_args

from contracts.events import PaymentStatus
from services.payments.metrics import LookResult, Outcome
from services.payments.schedule import OPEN_STATUSES

PROGRAM = """\
import services.payments.reconciler, prometheus_client
metrics = prometheus_client.REGISTRY.collect()
print({(metric.name, *sample.labels.values()) for metric in metrics for sample in metric.samples})
"""


def test_a_new_process_has_all_series_of_payments() -> None:
    output = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    ).stdout
    assert set(ast.literal_eval(output)) >= {
        *(("stagedoor_payments", outcome) for outcome in get_args(Outcome)),
        *(("stagedoor_reconciler_looks", result) for result in get_args(LookResult)),
        *(
            ("stagedoor_payments_reconciled", was, became)
            for was, became in product(OPEN_STATUSES, get_args(PaymentStatus.__value__))
        ),
    }
