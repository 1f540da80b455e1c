"""A PyTorch metric as a scorer: its scores and its own gradients, asked for by JAX's attacks.
PyTorch is imported when a module is wrapped, and is no dependency of this package."""

from collections.abc import Callable
from typing import Any

import numpy as np

from robust_iqa_jax.models.foreign import ForeignScorer, Layout, check_layout, signed_range


def wrap_torch(
    module: Callable[..., Any],
    *,
    layout: Layout = "NCHW",
    preprocess: Callable[..., Any] | None = None,
    device: Any = None,
    lower_better: bool = False,
    score_range: tuple[float, float] | None = None,
    name: str | None = None,
) -> ForeignScorer:
    """A PyTorch module (or function of tensors) that gives a score a photo, as a scorer that every attack takes.

    Gradients are those of torch.autograd, through `preprocess` too; parameters collect none.

    Args:
      module: tensor of images -> (n,) or (n, 1), in evaluation mode.
      layout: of the tensor that it takes.
      preprocess: tensor of [0,1] pixels in this layout -> what the module takes, differentiable, such as torchvision's
        Normalize or a resize; None: the pixels themselves.
      device: where it runs, and where images are put; that of its parameters where not given, else the CPU.
      lower_better: whether its lower scores are the better ones; the scorer's have the other sign.
      score_range: the module's lowest and highest score, where they are known.
      name: for messages; the class's where not given.

    Raises:
      ModuleNotFoundError: PyTorch is not installed.
      ValueError: a module in training mode, whose scores would depend on their batch; no function; an unknown layout.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("wrap_torch: PyTorch is not installed; pip install torch", name="torch") from error
    check_layout("wrap_torch", layout)
    if not callable(module):
        raise ValueError(f"wrap_torch: a module, or a function of tensors, expected, got {type(module).__name__}")
    name = str(name or getattr(module, "__name__", type(module).__name__))
    if getattr(module, "training", False):
        raise ValueError(
            f"wrap_torch: {name} is in training mode, where scores depend on their batch; call .eval() first"
        )
    parameters = getattr(module, "parameters", tuple)
    first = next((p for p in parameters() if p.is_floating_point()), None)
    place = torch.device(device) if device is not None else torch.device("cpu") if first is None else first.device
    dtype = torch.float32 if first is None else first.dtype
    sign = -1 if lower_better else 1

    def tensor(images: np.ndarray) -> Any:
        ordered = np.moveaxis(images, -1, 1) if layout == "NCHW" else images
        return torch.tensor(np.ascontiguousarray(ordered), dtype=dtype, device=place)

    def of_tensor(images: Any) -> Any:
        answer = module(images if preprocess is None else preprocess(images))
        if isinstance(answer, torch.Tensor) and answer.shape == (len(images), 1):
            answer = answer[:, 0]
        return sign * answer if isinstance(answer, torch.Tensor) else answer

    def scores(images: np.ndarray) -> Any:
        with torch.no_grad():
            return numpy(of_tensor(tensor(images)))

    def numpy(answer: Any) -> Any:
        if not isinstance(answer, torch.Tensor):
            return answer
        answer = answer.detach().cpu()
        return (answer.float() if answer.dtype in (torch.float16, torch.bfloat16) else answer).numpy()

    def gradients(images: np.ndarray) -> tuple[Any, Any]:
        with torch.enable_grad():
            pixels = tensor(images).requires_grad_()
            answer = of_tensor(pixels)
            if not answer.requires_grad:
                raise ValueError(f"scorer: {name}: its scores do not depend on the images by a path with gradients")
            (slopes,) = torch.autograd.grad(answer.sum(), pixels)
        slopes = numpy(slopes)
        return numpy(answer), np.moveaxis(slopes, 1, -1) if layout == "NCHW" else slopes

    return ForeignScorer(name, scores, gradients, signed_range(score_range, sign))
