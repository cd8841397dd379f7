"""Payouts: what each seller is owed, when it is due, and the transfers that pay it.

docs/decisions/0046-payouts.md explains the choices.
"""
