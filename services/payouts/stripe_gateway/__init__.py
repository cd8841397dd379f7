"""The requests of payouts to Stripe Connect."""
