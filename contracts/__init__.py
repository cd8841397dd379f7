"""Models that the services and the web tier share. They use pydantic only: no I/O and no framework."""

VERSION = "1.0.0"
"""The version of the package and of every OpenAPI and AsyncAPI document. pyproject.toml reads it from here.
"""
