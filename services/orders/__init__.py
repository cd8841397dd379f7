"""Orders: which buyer holds or owns which ticket. This service is the arbiter of every sale."""
