"""The operator console: server-rendered pages about what runs, what is stuck, and a few actions.

It has a listener of its own, which the web tier doesn't forward to. docs/operations.md explains how to reach
it, and docs/security.md what protects it.
"""
