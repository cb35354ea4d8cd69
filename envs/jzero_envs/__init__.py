"""Games, one per file, registered by name as entry points of the group `jzero.envs`."""
