"""Other constructions of (near) norm-preserving convolutions, for benchmarks/: each small, plain and tested."""
