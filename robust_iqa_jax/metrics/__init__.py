"""Metrics of scores as numpy arrays, one concept a file: no model, no report."""
