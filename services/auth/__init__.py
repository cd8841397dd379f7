"""Users and sessions: sign-up, sign-in, sign-out and session tokens."""
