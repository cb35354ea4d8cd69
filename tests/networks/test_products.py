"""Products in bfloat16 between arrays of float32, against float32's; on which CPUs presets use them."""

from __future__ import annotations

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import devices
from jzero.networks.make import NetworkSettings, make_network
from jzero.networks.products import dense, product
from jzero.run import accelerators
from jzero.run.config import TrainConfig

NARROW = NetworkSettings(width=64, blocks=2, bf16_products=True)


def rounded(x):
    """`x` as bfloat16 holds it, in float64."""
    return np.asarray(jnp.asarray(x, jnp.float32).astype(jnp.bfloat16)).astype(np.float64)


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("rows", [(5,), (2, 3), ()])
def test_a_product_is_that_of_the_rounded_factors(rows):
    x, kernel = arrays((*rows, 130), (130, 70))
    found = product(x, kernel)
    assert (found.dtype, found.shape) == (jnp.float32, (*rows, 70))
    np.testing.assert_allclose(found, rounded(x) @ rounded(kernel), rtol=1e-5, atol=1e-4)


def test_gradients_are_products_of_the_rounded_factors():
    x, kernel, gradient = arrays((40, 130), (130, 70), (40, 70))
    _, pull = jax.vjp(product, x, kernel)
    of_x, of_kernel = pull(jnp.asarray(gradient))
    assert of_x.dtype == of_kernel.dtype == jnp.float32
    np.testing.assert_allclose(of_x, rounded(gradient) @ rounded(kernel).T, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(of_kernel, rounded(x).T @ rounded(gradient), rtol=2**-8, atol=1e-4)


def test_rows_do_not_depend_on_each_other():
    x, kernel = arrays((6, 33), (33, 20))
    together = jax.jit(product)(x, kernel)
    alone = jax.vmap(product, (0, None))(x[:, None], kernel)[:, 0]
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-5)
    slopes = jax.vmap(jax.grad(lambda x, kernel: jnp.sum(product(x[None], kernel) ** 2)), (0, None))
    assert slopes(jnp.asarray(x), jnp.asarray(kernel)).shape == x.shape


@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_a_network_says_nearly_the_same_with_the_same_weights(kind, norm):
    settings = replace(NARROW, kind=kind, norm=norm)
    boards = jnp.asarray(arrays((32, 6, 7, 2))[0])
    wide, narrow = (make_network(s, 7) for s in (settings.in_float32(), settings))
    params = wide.init(jax.random.key(0), boards)
    params = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    assert jax.tree.structure(params) == jax.tree.structure(narrow.init(jax.random.key(0), boards))
    for expected, found in zip(wide.apply(params, boards), narrow.apply(params, boards), strict=True):
        assert found.dtype == jnp.float32
        assert 0 < jnp.max(jnp.abs(found - expected)) < 0.1
        assert jnp.std(expected) > 0.1
    text = jax.jit(narrow.apply).lower(params, boards).as_text()
    # All dense layers but the last of each head.
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert sum("bf16" in line for line in products) == len(products) - 2
    # Norms, residuals and rectifiers are float32.
    computed = [line for line in text.splitlines() if "bf16" in line and "stablehlo" in line]
    assert all("convert" in line or "dot_general" in line for line in computed)


def test_it_learns():
    x, kernel = arrays((256, 16), (16, 1))
    y = np.tanh(x @ kernel)
    layers = nn.Sequential([dense(32, jnp.float32, True), nn.relu, dense(1, jnp.float32, True)])
    params = layers.init(jax.random.key(0), x)

    @jax.jit
    def step(params):
        loss, slope = jax.value_and_grad(lambda p: jnp.mean((layers.apply(p, x) - y) ** 2))(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, slope), loss

    first = step(params)[1]
    for _ in range(200):
        params, loss = step(params)
    assert loss < 0.2 * first


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512f amx_bf16 amx_tile\n", True),
        ("processor: 0\nflags : amx_bf16\nflags : amx_bf16\n", True),
        ("flags\t\t: fpu avx512f avx512_bf16\n", False),
        ("model name: amx_bf16\nvmx flags: amx_bf16\n", False),
        (None, False),
    ],
)
def test_matrix_units_are_found_by_what_the_system_says_of_the_cpu(monkeypatch, tmp_path, text, expected):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(devices, "CPU_INFO", path)
    assert devices.has_matrix_units() == expected


def test_alphazero_s_wide_layers_use_them_on_a_cpu(monkeypatch):
    train = TrainConfig(network=replace(NARROW, width=256, bf16_products=False))
    cases = [
        (train, True),
        (replace(train, algorithm="gumbel_muzero"), False),
        (replace(train, network=replace(train.network, kind="resnet")), False),
        (replace(train, network=replace(train.network, width=64)), False),
        (replace(train, network=replace(train.network, bf16=True)), False),
    ]
    for found in (True, False):
        monkeypatch.setattr(accelerators, "has_matrix_units", lambda found=found: found)
        for config, expected in cases:
            assert accelerators.on_this_cpu(config).network.bf16_products == (expected and found)
