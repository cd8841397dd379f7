"""Converts uploaded pictures, in processes that may fail: to the sizes of pages, or to a clean copy."""
