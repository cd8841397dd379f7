"""Converts uploaded pictures to the two sizes that pages show, in processes that may fail."""
