"""Accuracy and robustness metrics, evaluation runs, reports and plots."""
