"""Label tables, image decoding, the embedded distorted-photos set, input pipelines."""
