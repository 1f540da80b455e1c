"""Losses of scores against opinion scores, one file a family; total.py has the names that configurations use."""
