"""TReS on KonIQ-10k: the undefended TReS of arXiv 2506.04951, table 2.

    riqa convert resnet50.pth runs/resnet50 --model tres --allow-missing
    riqa train koniq_tres --data DIR

resnet50.pth has torchvision's ImageNet weights. Adam at 2e-5 for all layers, cut tenfold after each of the first three
epochs, weight decay 5e-4, batches of 53 random crops of 224, 50 crops a photo and epoch, so 150 passes; half of them
mirrored left to right, half upside down. The authors' fourth and fifth epoch, at a thousandth of the rate, are left
out. Photos keep their orientation and the owners' split is used: the source squeezes them to portrait and picks its
best epoch on a random test fifth.
Published: SROCC .918, PLCC .929 (not repeated here: it takes a GPU).
"""

from pathlib import Path

from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The undefended model."""
    return TrainConfig(
        name="tres",
        model=preset("tres"),
        data="koniq10k",
        start_from=Path("runs/resnet50"),
        epochs=150,
        batch_size=53,
        learning_rate=2e-5,
        backbone_factor=1,
        weight_decay=5e-4,
        flip_vertical=True,
        seed=2021,
    )
