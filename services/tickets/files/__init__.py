"""Sealed files of tickets: inspected, encrypted, claimed by one listing, and read only by the buyer."""
