"""JPEG as a control: what compression does to an image, and to an attack that was made before it.
The codec is functional/jpeg.py."""

from dataclasses import KW_ONLY
from typing import Any, ClassVar

from jaxtyping import Array

from robust_iqa_jax.attacks.arguments import Images
from robust_iqa_jax.attacks.ascent import Result
from robust_iqa_jax.attacks.core import Attack
from robust_iqa_jax.attacks.objective import ScoreFunction
from robust_iqa_jax.attacks.settings import traced
from robust_iqa_jax.functional.jpeg import Subsampling, round_trip


@traced("quality")
class JPEG(Attack):
    """The image after JPEG compression and decompression; it has no ball and no direction.

    Input and output are rounded to 8 bits; see functional.jpeg.round_trip.

    Attributes:
      quality: libjpeg's, 1 (worst) to 100; 50 uses the standard's tables as they are.
      subsampling: "4:2:0" (colours at half the size, as most encoders do) or "4:4:4".

    Raises:
      ValueError: quality outside 1 to 100, an unknown subsampling; when called, images without three channels.
    """

    kind = "jpeg"
    quality: Any = 75
    _: KW_ONLY
    subsampling: Subsampling = "4:2:0"
    asks: ClassVar[bool] = False

    def check(self) -> None:
        """The quality has an upper end."""
        if isinstance(self.quality, (int, float)) and not 1 <= self.quality <= 100:
            raise ValueError(f"attack: jpeg quality from 1 to 100 expected, got {self.quality}")

    @property
    def effort(self) -> str:
        """The quality."""
        return str(int(self.quality))

    @property
    def traits(self) -> tuple[str, ...]:
        """ "444" for colours at full size."""
        return ("444",) if self.subsampling == "4:4:4" else ()

    def perturb(self, scorer: ScoreFunction, keys: Array, images: Images) -> Result:
        """The round trip as a pure function; neither the scorer nor the keys are used."""
        return Result(round_trip(images, self.quality, self.subsampling))
