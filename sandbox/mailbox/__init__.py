"""The embedded mailbox: an SMTP server that delivers to nobody, and pages that show what it received."""
