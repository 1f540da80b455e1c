"""LinearityIQA over ResNet-101 on KonIQ-10k: the undefended model of arXiv 2506.04951, tables 1 and 2.

    riqa convert resnet101.pth runs/resnet101 --model linearity-resnet101 --allow-missing
    riqa train koniq_linearity_r101 --data DIR

resnet101.pth has torchvision's ImageNet weights; DIR is an unpacked KonIQ-10k. LinearityIQA's recipe: Adam at 1e-4, a
tenth of it for the backbone, cut tenfold after 10 and 20 of 30 epochs, batches of 8, whole photos at 498x664 as they
are. It keeps the best epoch on the validation photos; here the last one counts.
Published: SROCC .926, PLCC .936 (not repeated here: it takes a GPU).
"""

from pathlib import Path

from robust_iqa_jax.models.presets import preset
from robust_iqa_jax.training.config import TrainConfig


def get_config() -> TrainConfig:
    """The undefended model."""
    return TrainConfig(
        name="linearity-resnet101",
        model=preset("linearity-resnet101"),
        data="koniq10k",
        start_from=Path("runs/resnet101"),
        epochs=30,
        batch_size=8,
        learning_rate=1e-4,
        backbone_factor=0.1,
        flip=False,
    )
