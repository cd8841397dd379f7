"""Domain-free plumbing that every service shares."""
