"""Photos of reported problems: copied without metadata, encrypted, and read only by both sides."""
