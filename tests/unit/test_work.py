"""Counting arithmetic: known counts of products, convolutions, transforms and loops."""

import jax
import jax.numpy as jnp
import pytest

from robust_iqa_jax.work import operations_of, work_of

A, B = jnp.ones((3, 4)), jnp.ones((4, 5))


@pytest.mark.parametrize(
    ("function", "arguments", "flops", "traffic"),
    [
        (jnp.matmul, (A, B), 2 * 3 * 4 * 5, 4 * (12 + 20 + 15)),
        (jnp.matmul, (A + 0j, B + 0j), 8 * 3 * 4 * 5, 8 * (12 + 20 + 15)),
        (lambda a, b: jax.jit(jnp.matmul)(a, b) + 1, (A, B), 2 * 60 + 15, 188),
        (jnp.fft.fft, (jnp.ones((2, 8)) + 0j,), 2 * 5 * 8 * 3, 2 * 2 * 8 * 8),
        (jnp.fft.rfft, (jnp.ones((2, 8)),), 2 * 5 * 8 * 3 / 2, 2 * 8 * 4 + 2 * 5 * 8),
    ],
    ids=["product", "complex product", "nested", "fft", "rfft"],
)
def test_counts_are_those_of_the_definition(function, arguments, flops, traffic):
    work = work_of(function, *arguments)
    assert (work.flops, work.bytes) == (flops, traffic)


def test_a_loop_counts_as_often_as_it_runs():
    square = jnp.ones((6, 6))
    once = work_of(lambda a: a @ square, square)
    looped = work_of(lambda a: jax.lax.scan(lambda c, _: (c @ square, None), a, length=7)[0], square)
    assert looped.flops == 7 * once.flops == 7 * 2 * 6**3


def test_a_convolution_counts_its_taps_per_output_pixel():
    x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 2, 6))
    dimensions = ("NHWC", "HWIO", "NHWC")
    work = work_of(
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=dimensions, feature_group_count=2
        ),
        x,
        kernel,
    )
    assert work.flops == 2 * (2 * 8 * 8 * 6) * (9 * 2)


def test_what_no_result_depends_on_does_not_count():
    assert work_of(lambda a, b: ((a @ b) * 0, a + 1)[1], A, B).flops == 12
    pulled = lambda a, b, y: jax.vjp(jnp.matmul, a, b)[1](y)[0]  # noqa: E731
    assert work_of(pulled, A, B, jnp.ones((3, 5))).flops == 2 * 3 * 4 * 5


def test_of_branches_for_platforms_the_one_that_runs_counts():
    heavy = lambda a: a @ a @ a  # noqa: E731
    branches = {jax.default_backend(): lambda a: a + 1, "default": heavy}
    assert work_of(lambda a: jax.lax.platform_dependent(a, **branches), jnp.ones((6, 6))).flops == 36


def test_an_operation_runs_alone_and_knows_how_often_a_program_runs_it():
    looped = lambda a: jax.lax.scan(lambda c, _: (c @ B.T @ B + 1, None), a, length=7)[0]  # noqa: E731
    first, second = (operation for operation in operations_of(looped, jnp.ones((3, 5))) if operation.heavy)
    assert (first.times, second.times) == (7, 7)
    a = jnp.arange(15.0).reshape(3, 5)
    assert jnp.array_equal(first(a, B.T), a @ B.T)
    assert first.work.flops == second.work.flops == 2 * 3 * 4 * 5
