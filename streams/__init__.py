"""Delivery: what services say reaches those who listen, at least once, whatever stops in between."""
