"""Expiration: publishes an event when the time to pay is over. Timers are scheduled JetStream messages."""
