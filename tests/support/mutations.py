"""Seeded damage to files for fuzzing: flipped bits, cuts, insertions, repeats, interesting numbers."""

import numpy as np

INTERESTING = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\0",
    b"\xff\xd8",
    b"\x01\0\0\0",
)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy; one to four changes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        size = max(1, len(out))
        # headers decide more than pixels do
        at = int(rng.integers(min(size, 64))) if rng.random() < 0.5 else int(rng.integers(size))
        length = int(rng.integers(1, 17))
        match int(rng.integers(7)):
            case 0:
                out[at : at + 1] = bytes([out[at] ^ 1 << int(rng.integers(8))]) if out else b""
            case 1:
                out[at : at + length] = rng.bytes(length)
            case 2:
                chosen = INTERESTING[int(rng.integers(len(INTERESTING)))]
                out[at : at + len(chosen)] = chosen
            case 3:
                del out[at:]
            case 4:
                del out[at : at + length]
            case 5:
                out[at:at] = rng.bytes(length)
            case _:
                out[at:at] = out[at : at + 32 * length]
    return bytes(out)
