"""Alerts and favorites: who wants to be told of which tickets, and in which order people are told."""
