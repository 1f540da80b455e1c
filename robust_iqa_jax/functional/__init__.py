"""Pure array functions: spectral transforms, Cayley convolution, pooling, similarity."""
