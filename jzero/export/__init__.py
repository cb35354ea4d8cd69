"""Export of an agent: its weights, its network as StableHLO or ONNX, a page that plays offline."""

from jzero.export.root import RootNetwork, root_network

__all__ = ["RootNetwork", "root_network"]
