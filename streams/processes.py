"""All service processes, for provisioning, backups and tests. `settings.py` has the list of their names."""

from importlib import import_module

from kit.aggregates import Aggregate
from settings import SERVICES, ServiceName
from streams.app import Service
from streams.topology import Consumer

PROCESSES: tuple[Service, ...] = tuple(import_module(f"streams.{name}").service for name in SERVICES)

DATABASES: tuple[ServiceName, ...] = tuple(service.name for service in PROCESSES if service.documents)
"""The services that have a database. The database has the name of its service."""

OUTBOXES: tuple[tuple[ServiceName, str], ...] = tuple(
    (service.name, str(kind.Settings.name))
    for service in PROCESSES
    for kind in service.documents
    if issubclass(kind, Aggregate)
)
"""The services whose documents publish events, and the collections of these documents."""

CONSUMERS: tuple[Consumer, ...] = tuple(
    consumer for service in PROCESSES for consumer in service.listener.consumers
)
