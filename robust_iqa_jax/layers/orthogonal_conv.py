"""What the orthogonal convolutions of this room share: flax.linen.Conv's conventions, and operators for fixed weights.
Conventions: flax.linen.Conv. A construction is a subclass that names its parameters and convolves with them."""

import math
import warnings
from collections.abc import Callable
from dataclasses import field, replace
from functools import partial
from typing import Any, Literal, cast, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jax.custom_derivatives import SymbolicZero
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from robust_iqa_jax.functional.elementwise import as_float
from robust_iqa_jax.functional.map_resize import space_to_depth
from robust_iqa_jax.layers.initializers import fan_in_uniform

OPERATORS = "operators"
"""Variable collection of prepared operators (inference): apply with mutable=[OPERATORS] to fill it, then give it in
place of the parameters (`prepared` does both). Where a layer's parameters are given too they count and its operator is
not looked at, since it could have been made from others."""

Padding = Literal["CIRCULAR"]
Initializer = Callable[..., Array]
Free = dict[str, Array]
"""Parameters by name, `kernel` and `bias` among them; of one group, or of all with the groups as their first axis."""


class OrthogonalConv(nn.Module):
    """Base of the orthogonal convolutions; the maps' borders are joined (CIRCULAR), any H x W.

    Everything is computed in float32 or wider. The result has `dtype`, or, as in flax.linen.Conv, the wider of the
    input's and the parameters' types. Inputs need no batch, or have several batch axes.

    Attributes:
      features: output channels.
      kernel_size: (kh, kw), or one number for both.
      strides: along both sides, or (rows, columns). Patches of that size become channels, an isometry, and the
        kernel's sides are divided by it (1 at least); the convolution of stride 1 follows (arXiv 2104.07167). So
        `features` of strides^2 in or more make an isometry.
      padding: "CIRCULAR", the boundary on which the constructions are orthogonal.
      feature_group_count: groups of input channels, each seen by its share of the outputs; each is orthogonal.
      use_bias: adds a bias.
      dtype: of the result.
      param_dtype: of the parameters.
      kernel_init, bias_init: initialisers; None is the construction's own and torch's, uniform by fan-in.
      stride: former name of `strides`, with a warning; goes with the next version.
    """

    features: int
    kernel_size: int | tuple[int, int] = (3, 3)
    strides: int | tuple[int, int] = field(default=1, kw_only=True)
    padding: Padding = field(default="CIRCULAR", kw_only=True)
    feature_group_count: int = field(default=1, kw_only=True)
    use_bias: bool = field(default=True, kw_only=True)
    dtype: DTypeLike | None = field(default=None, kw_only=True)
    param_dtype: DTypeLike = field(default=jnp.float32, kw_only=True)
    kernel_init: Initializer | None = field(default=None, kw_only=True)
    bias_init: Initializer | None = field(default=None, kw_only=True)
    stride: int | None = field(default=None, kw_only=True)

    def parameters(self, x: Float[Array, "n h w gi"], taps: tuple[int, int]) -> Free:
        """Free parameters of all groups but their biases, from `grouped`, for maps like x."""
        raise NotImplementedError

    def convolve(self, free: Free, x: Float[Array, "n h w i"], taps: tuple[int, int]) -> Float[Array, "n h w o"]:
        """The convolution of one group with its parameters, bias and all; everything in one type."""
        raise NotImplementedError

    def prepare(self, free: Free, size: tuple[int, int], taps: tuple[int, int]) -> Any:
        """What `apply_operator` takes for maps of (h, w) in place of one group's parameters, whose `bias` it has too;
        None where there is nothing to prepare."""
        raise NotImplementedError

    def apply_operator(self, operator: Any, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        """The convolution of one group with its operator."""
        raise NotImplementedError

    @classmethod
    def isometry(cls, matrix: Float[Array, "o i"], free: Free) -> Free:
        """Parameters, but the bias, with which the layer is the pixel-wise product with an isometry.

        Args:
          matrix: (features, in) with orthonormal columns, its first `in` rows symmetric positive semi-definite.
          free: parameters of the layer without groups, for their shapes and for what the isometry leaves open.

        Raises:
          ValueError: the construction has no such parameters.
        """
        raise ValueError(f"{cls.__name__} cannot start as a given isometry; CayleyConv, BCOPConv and AOLConv can")

    def grouped(self, name: str, init: Initializer, shape: tuple[int, ...]) -> Float[Array, "g ..."]:
        """A parameter of every group, side by side on the last axis as flax.linen.Conv has them."""
        groups = self.feature_group_count
        stacked = self.param(name, init, (*shape[:-1], groups * shape[-1]), self.param_dtype)
        return jnp.moveaxis(stacked.reshape(*shape[:-1], groups, shape[-1]), -2, 0)

    def channels(self, x: Float[Array, "n h w gi"]) -> tuple[int, int]:
        """In and out of one group."""
        return x.shape[-1] // self.feature_group_count, self.features // self.feature_group_count

    def kernel_start(self, fan_in: int) -> Initializer:
        """`kernel_init`, or uniform by fan-in."""
        return self.kernel_init or fan_in_uniform(fan_in)

    @nn.compact
    def __call__(self, x: Float[Array, "*n h w i"]) -> Float[Array, "*n h2 w2 o"]:
        """Convolve x (..., h, w, in) to (..., h / strides, w / strides, features), with a prepared operator where there
        is one in place of the parameters.

        Raises:
          ValueError: maps without pixels or channels, features or a kernel size below 1, strides that do not divide the
            map, groups that do not divide the channels, another padding, or a prepared operator of another map size.
        """
        name, groups = type(self).__name__, self.feature_group_count
        strides, taps = self._strides(), pair(self.kernel_size)
        if x.ndim < 3 or 0 in x.shape[-3:]:
            raise ValueError(
                f"{name}: maps (..., height, width, channels) of at least 1 x 1 x 1 expected, got shape {x.shape}"
            )
        if self.features < 1 or len(taps) != 2 or min(taps) < 1:
            raise ValueError(
                f"{name}: features and both sides of the kernel must be at least 1, got features {self.features}, "
                f"kernel_size {self.kernel_size}"
            )
        if self.padding not in get_args(Padding):
            raise ValueError(f"{name}: orthogonal on joined borders only; padding={self.padding!r} must be 'CIRCULAR'")
        if groups < 1 or x.shape[-1] % groups or self.features % groups:
            raise ValueError(
                f"{name}: feature_group_count {groups} must divide {x.shape[-1]} channels and {self.features} features"
            )
        maps = space_to_depth(as_float(x).reshape(-1, *x.shape[-3:]), strides)
        taps = (max(1, taps[0] // strides[0]), max(1, taps[1] // strides[1]))
        y = self._evaluate(maps, taps)
        return y.reshape(*x.shape[:-3], *y.shape[1:])

    def _evaluate(self, x: Array, taps: tuple[int, int]) -> Array:
        if self.has_variable(OPERATORS, "operator") and not self.has_variable("params", "kernel"):
            operator = _fixed(self.get_variable(OPERATORS, "operator"))
            return self._with_operator(operator, x)
        free = self._all_parameters(x, taps)
        wide = jnp.result_type(jnp.float32, x, *free.values())
        own = {name: leaf.astype(wide) for name, leaf in free.items()}
        if self.is_mutable_collection(OPERATORS) and not self.is_initializing():
            prepare = partial(self.prepare, size=(x.shape[1], x.shape[2]), taps=taps)
            operator = prepare(own) if self.feature_group_count == 1 else jax.vmap(prepare)(own)
            if operator is not None:
                operator = replace(operator, bias=free["bias"])  # its type says what the parameters had
                self.put_variable(OPERATORS, "operator", operator)
                return self._with_operator(operator, x)
        y = self._of_groups(partial(self.convolve, taps=taps), own, x.astype(wide))
        return y.astype(self._result_type(x, free["bias"]))

    def _with_operator(self, operator: Any, x: Array) -> Array:
        wide = jnp.result_type(jnp.float32, x, operator.bias)
        return self._of_groups(self.apply_operator, operator, x.astype(wide)).astype(
            self._result_type(x, operator.bias)
        )

    def _of_groups(self, function: Callable[[Any, Array], Array], own: Any, x: Array) -> Array:
        groups = self.feature_group_count
        if groups == 1:
            return function(own, x)
        y = jax.vmap(function, (0, 3), 3)(own, x.reshape(*x.shape[:3], groups, -1))
        return y.reshape(*y.shape[:3], -1)

    def _all_parameters(self, x: Array, taps: tuple[int, int]) -> Free:
        """With the groups as their first axis where there are several."""
        groups, (channels, features) = self.feature_group_count, self.channels(x)
        free = self.parameters(x, taps)
        if self.use_bias:
            init = self.bias_init or fan_in_uniform(math.prod(taps) * channels)
            free["bias"] = self.grouped("bias", init, (features,))
        else:
            free["bias"] = jnp.zeros((groups, features), free["kernel"].dtype)
        return free if groups > 1 else {name: leaf[0] for name, leaf in free.items()}

    def _result_type(self, x: Array, bias: Array) -> Any:
        return jnp.promote_types(x.dtype, bias.dtype) if self.dtype is None else self.dtype

    def _strides(self) -> tuple[int, int]:
        if self.stride is None:
            return pair(self.strides)
        name = type(self).__name__
        if self.stride not in (1, 2):
            raise ValueError(f"{name}: stride must be 1 or 2, got {self.stride}")
        warnings.warn(
            f"{name}: stride is called strides now, as in flax.linen.Conv; the old name goes with the next version",
            DeprecationWarning,
            stacklevel=4,
        )
        return (self.stride, self.stride)


def prepared(module: nn.Module, variables: Any, *inputs: Any, **settings: Any) -> dict[str, Any]:
    """Variables for fixed weights: operators in place of the parameters of every orthogonal convolution in a module, an
    ordinary convolution's kernel where the construction has one.

    Give them to `apply` like the others, with maps of the same size; derivatives in them are refused. Under nn.scan and
    nn.vmap name OPERATORS among the collections that are mapped.

    Args:
      module: whose convolutions they are.
      variables: of the module, unchanged.
      *inputs, **settings: of a call of the module, for the maps' sizes.
    """
    _, made = module.apply(variables, *inputs, mutable=[OPERATORS], **settings)
    return with_operators(variables, cast(dict[str, Any], made).get(OPERATORS, {}))


def with_operators(weights: Any, operators: Any) -> dict[str, Any]:
    """Variables that have prepared operators in place of the parameters that these were made from."""
    replaced = {path[:-1] for path in traverse_util.flatten_dict(operators)}
    kept = {
        path: leaf for path, leaf in traverse_util.flatten_dict(weights["params"]).items() if path[:-1] not in replaced
    }
    return {**weights, "params": traverse_util.unflatten_dict(kept), OPERATORS: operators}


def pair(sides: int | tuple[int, int]) -> tuple[int, int]:
    """One number for both sides, or both."""
    return (sides, sides) if isinstance(sides, int) else cast(tuple[int, int], tuple(sides))


@jax.custom_jvp
def _fixed(operator: Any) -> Any:
    """The operator itself, which has no derivatives: what a step along them leads to is not orthogonal any more."""
    return operator


@partial(_fixed.defjvp, symbolic_zeros=True)
def _fixed_jvp(primals: Any, tangents: Any) -> Any:
    if any(type(leaf) is not SymbolicZero for leaf in jax.tree.leaves(tangents, is_leaf=_is_symbolic_zero)):
        raise ValueError(
            "orthogonal convolution: derivatives in a prepared operator asked for; take them in the parameters that it "
            "was prepared from (of the Scorer, not of its prepare())"
        )
    return primals[0], jax.tree.map(lambda leaf: jnp.zeros_like(leaf), primals[0])


def _is_symbolic_zero(leaf: Any) -> bool:
    return type(leaf) is SymbolicZero
