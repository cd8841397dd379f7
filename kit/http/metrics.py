"""Prometheus metrics of a process's HTTP requests, with a bounded number of series, and of its readiness."""

from http import HTTPMethod
from typing import Any

from litestar import Request
from litestar.middleware import DefineMiddleware
from litestar.plugins.prometheus import PrometheusConfig, PrometheusMiddleware
from prometheus_client import Gauge

METHODS = frozenset(HTTPMethod)
OTHER = "other"

READY = Gauge("stagedoor_ready", "1 while a part is available that the process needs, else 0", ["part"])


class _KnownMethods(PrometheusMiddleware):
    """Counts methods that HTTP doesn't define as one, because a client may invent as many as it likes."""

    def _get_default_labels(self, request: Request[Any, Any, Any]) -> dict[str, str | int | float]:
        labels = super()._get_default_labels(request)
        return {**labels, "method": labels["method"] if labels["method"] in METHODS else OTHER}


def request_metrics(process: str, exclude: str | None = None) -> DefineMiddleware:
    """The middleware that counts and measures the requests of a process, by the template of their path.

    Args:
        exclude: the name of an option. Requests to routes with it aren't measured.
    """
    return PrometheusConfig(
        app_name=process,
        prefix="http",
        group_path=True,
        exclude_opt_key=exclude,
        middleware_class=_KnownMethods,
    ).middleware
