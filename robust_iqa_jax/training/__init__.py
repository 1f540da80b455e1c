"""Losses, optimiser, the training step, checkpoints and the training loop."""
