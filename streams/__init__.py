"""Processes of the services, and at-least-once delivery of their events."""
