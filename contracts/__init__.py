"""What the services and the web tier share: pydantic models only, no I/O, no framework."""
