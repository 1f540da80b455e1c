"""Two-dimensional real Fourier transforms of maps (n, h, w, c) over their height and width."""
