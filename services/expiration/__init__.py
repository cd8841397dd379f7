"""The clock: tells when the time to pay for an order is over. Its timers live in JetStream."""
