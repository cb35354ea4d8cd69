"""Games of other packages behind jzero's protocol: `jzero.make("gymnax:CartPole-v1")`, `jzero.make("ale:pong")`."""
