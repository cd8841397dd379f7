"""Tells people by email what concerns them. docs/decisions/0038-mail.md explains the choices."""
