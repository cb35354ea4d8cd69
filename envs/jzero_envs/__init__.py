"""Games, one a file, each found by name through the entry points of the group `jzero.envs`."""
