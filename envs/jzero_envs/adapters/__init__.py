"""Games of other packages behind jzero's protocol: `jzero.make("pgx:othello")`, `jzero.make("ale:pong")`.

docs/environments.md lists them.
"""
