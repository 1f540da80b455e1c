"""What a file may ask for: no more memory than its own size explains, whatever its headers declare.
Views that show an element several times, and files that are packed, need more than their size; not without a bound."""

_TIMES, _SPARE = 16, 1 << 24


def check_declared(declared: int, on_disk: int) -> None:
    """Raise ValueError where a file declares far more than it can hold.

    Args:
      declared: bytes of what it says to hold.
      on_disk: bytes of the file.
    """
    if declared > _TIMES * on_disk + _SPARE:
        raise ValueError(f"declares {_size(declared)} of tensors in {_size(on_disk)} of file")


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count:,} bytes"
