"""TensorFlow's "SAME" padding, which convolutions and poolings of models from there need.
Source: tf.nn.convolution: ceil(side / stride) windows, the odd pixel of padding behind the map."""


def same_padding(side: int, window: int, stride: int) -> tuple[int, int]:
    """Pixels before and behind, such that windows begin at every stride-th pixel; the odd one stands behind."""
    total = max((-(-side // stride) - 1) * stride + window - side, 0)
    return total // 2, total - total // 2
