"""Writes docs/asyncapi.yaml, the document of all events. `just docs` runs this module."""

from pathlib import Path

from streams.asyncapi import Document, document
from streams.processes import PROCESSES

DOCS = Path(__file__).resolve().parent.parent / "docs"


def asyncapi() -> Document:
    return document("Stagedoor events", PROCESSES, with_web=True)


if __name__ == "__main__":
    (DOCS / "asyncapi.yaml").write_text(asyncapi().to_yaml(), "utf-8")
