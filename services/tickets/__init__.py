"""Tickets: listing, searching, and their state of sale."""
