"""TFDS builders of the published data sets and of any label table, which need no TensorFlow; importing this package
makes their names known.

import robust_iqa_jax.datasets
config = tfds.download.DownloadConfig(manual_dir=DIR)
kwargs = {"download_config": config}
source = tfds.data_source("koniq10k", split="train", download_and_prepare_kwargs=kwargs)
"""

from robust_iqa_jax.extras import require

require("robust_iqa_jax.datasets", "tensorflow_datasets", "importlib_resources")

from robust_iqa_jax.datasets.builders import (  # noqa: E402
    Biq2021,
    Clive,
    Kadid10k,
    Koniq10k,
    Nips2017,
    PhotoTable,
    Spaq,
    Tid2013,
)

__all__ = ["Biq2021", "Clive", "Kadid10k", "Koniq10k", "Nips2017", "PhotoTable", "Spaq", "Tid2013"]
