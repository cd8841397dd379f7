"""Who holds and who owns which ticket: the arbiter of every sale."""
