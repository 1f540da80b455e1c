"""What a loss of scores may be given: predictions and labels of one shape, one a photo.
A column (n, 1) against (n,) would broadcast to (n, n) and train on nonsense without a word."""

from jaxtyping import Array, Float


def check_pair(loss: str, predictions: Float[Array, " n"], targets: Float[Array, " n"]) -> None:
    """Raise ValueError, in the name of the loss, unless both have the one shape (n,)."""
    if predictions.ndim != 1 or predictions.shape != targets.shape:
        raise ValueError(
            f"{loss}: predictions and targets of one shape (n,) expected, got {predictions.shape} and {targets.shape}"
        )
