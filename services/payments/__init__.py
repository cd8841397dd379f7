"""Payments: authorize the price, wait for the decision of the orders service, then capture or void."""
