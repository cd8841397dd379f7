"""Load generators. Each runs in a process of its own, so that it doesn't delay what it measures."""
