"""Requests to Stripe, for every service that moves money."""
