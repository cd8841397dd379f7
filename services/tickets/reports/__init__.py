"""Reported listings: people say what is wrong with one, and operators decide."""
