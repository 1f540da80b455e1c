"""What makes a model harder to fool beyond its architecture: pruning, robust training."""
