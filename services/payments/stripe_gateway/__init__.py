"""Requests to Stripe's API, and the translation of its responses into outcomes."""
