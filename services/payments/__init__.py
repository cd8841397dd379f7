"""Money: authorize, let orders decide, then capture or give back."""
