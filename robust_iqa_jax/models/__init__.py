"""No-reference quality models, their registry, and the Scorer that callers use."""
