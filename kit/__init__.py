"""Infrastructure that all services share. Nothing in it depends on tickets, orders or payments."""
