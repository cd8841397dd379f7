"""The result of a rule."""

from collections.abc import Mapping
from typing import Any

Changes = Mapping[str, Any]
"""Fields to change and their new values."""
