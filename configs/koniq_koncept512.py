"""KonCept512 on KonIQ-10k: the undefended KonCept of arXiv 2506.04951, table 2.

    riqa convert inceptionresnetv2.pth runs/inception_resnet_v2 --model koncept512 --allow-missing
    riqa train koniq_koncept512 --data DIR

The first file has the ImageNet weights of Cadene's port. Squared error to the scores, Adam at 1e-4 for all layers,
batches of 16, photos at 384x512, mirrored half of the time. The authors' rate falls from 1e-4 to 5e-5 and 1e-5 after 40
and 60 of 70 epochs (A-Kon; A-main and the model's own paper have other steps); half a cosine passes near these.
Published: SROCC .915, PLCC .929 (not repeated here: it takes a GPU).
"""

from pathlib import Path

from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The undefended model."""
    return TrainConfig(
        name="koncept512",
        model=preset("koncept512"),
        data="koniq10k",
        start_from=Path("runs/inception_resnet_v2"),
        epochs=70,
        batch_size=16,
        learning_rate=1e-4,
        backbone_factor=1,
        decay="cosine",
        seed=5102023,
    )
