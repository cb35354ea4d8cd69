"""Compiles every kind of search for four devices and prints the collectives of each; run as a process."""

import json
import re

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jzero import search
from jzero.devices import set_up
from tests.helpers import search_tables as tables_lib
from tests.search.test_stochastic import chance_fn, decision_fn, random_chance_tables

COLLECTIVES = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
GAMES, A, N = 16, 5, 12


def twice(tables, key, root, **options):
    """A search and one of the reused tree."""
    args = (tables, key, root, tables_lib.recurrent_fn, N)
    first = search.muzero_policy(*args, num_nodes=2 * N + 1, **options)
    return search.muzero_policy(*args, tree=search.subtree(first.search_tree, first.action), **options)


def cached(tables, key, root):
    """A search with an evaluation cache on each device."""
    cache = search.EvaluationCache(
        lambda state: jnp.stack([state, state], axis=-1).astype(jnp.uint32),
        lambda t, key, a, s: (t.reward[s, a], t.discount[s, a], t.successor[s, a]),
        lambda t, s: (t.prior_logits[s], t.value[s]),
    )
    table = cache.empty(64, tables, root.embedding)
    return search.muzero_policy(tables, key, root, cache.recurrent_fn, N, model_state=table)


def policy(name, **options):
    def run(tables, key, root):
        args = (tables, key, root, tables_lib.recurrent_fn, N)
        return getattr(search, name)(*args, **options)

    return run


SEARCHES = {
    "puct": policy("muzero_policy"),
    "gumbel": policy("gumbel_muzero_policy"),
    "puct, leaves": policy("muzero_policy", leaves=4, virtual="loss"),
    "gumbel, leaves": policy("gumbel_muzero_policy", leaves=4),
    "reuse": twice,
    "reuse, leaves": lambda *args: twice(*args, leaves=3),
    "cache": cached,
}


def main():
    set_up(cpu_devices=4, cache=None)
    mesh = jax.make_mesh((4,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    tables = jax.tree.map(jnp.asarray, tables_lib.random_tables(0, A))
    roots = jnp.asarray(tables_lib.random_roots(0, tables, GAMES))
    report = {}

    def record(name, tables, root_of, run):
        def search_all(tables, key, roots):
            key = jax.random.fold_in(key, jax.lax.axis_index("devices"))
            output = run(tables, key, root_of(tables, roots))
            return output.action, output.search_tree.summary().visit_counts

        sharded = jax.shard_map(
            search_all, mesh=mesh, in_specs=(P(), P(), P("devices")), out_specs=P("devices")
        )
        arguments = (tables, jax.random.key(0), roots)
        compiled = jax.jit(sharded).lower(*arguments).compile()
        _, visits = compiled(*arguments)
        report[name] = {
            "collectives": re.findall(rf" ({COLLECTIVES})(?:-start)?\(", compiled.as_text()),
            "visits": visits.sum(-1).tolist(),
        }

    for name, run in SEARCHES.items():
        record(name, tables, tables_lib.jax_root, run)

    def stochastic(tables, key, root):
        return search.stochastic_muzero_policy(tables, key, root, decision_fn, chance_fn, N, packed=True)

    chance = jax.tree.map(jnp.asarray, random_chance_tables(0))
    record(
        "chance",
        chance,
        lambda t, s: search.RootFnOutput(prior_logits=t.prior_logits[s], value=t.value[s], embedding=s),
        stochastic,
    )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
