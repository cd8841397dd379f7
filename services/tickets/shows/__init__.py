"""Events, which listings share. The code calls them shows, because an event is also a message."""
