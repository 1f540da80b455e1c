"""Running evaluations: scores, attacks, finished parts on disk, gradients, stretch, suites."""
