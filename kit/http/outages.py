"""Answers 503 while the database is unavailable.

This module is separate from kit/http/problems.py, which must not need a database driver.
"""

import logging
from typing import Any

from litestar import Request
from litestar.response import Response
from litestar.types import ExceptionHandlersMap

from contracts.problems import Problem
from kit.errors import Unavailable
from kit.http.problems import problem_response, unexpected
from kit.mongo import CONNECTION_ERRORS, Refused, is_outage

log = logging.getLogger(__name__)


def _unavailable(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("the database can't be reached: %s", error)
    return problem_response(Problem.of(503, Unavailable.message, code="unavailable"), retry_after=2)


def _refused(request: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    return _unavailable(request, error) if is_outage(error) else unexpected(request, error)


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    **dict.fromkeys(CONNECTION_ERRORS, _unavailable),
    Refused: _refused,
}
