"""All service processes, for provisioning, backups and tests."""

from streams import auth, expiration, orders, payments, tickets
from streams.app import Service
from streams.topology import Consumer

PROCESSES: tuple[Service, ...] = (
    auth.service,
    tickets.service,
    orders.service,
    payments.service,
    expiration.service,
)

CONSUMERS: tuple[Consumer, ...] = tuple(
    consumer for service in PROCESSES for consumer in service.listener.consumers
)
