"""What a rule decides."""

from collections.abc import Mapping
from typing import Any

Changes = Mapping[str, Any]
"""Fields and their new values."""
