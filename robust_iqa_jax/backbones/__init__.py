"""Feature extractors that expose named feature maps (taps)."""
