"""The network and its checkpoints (torch)."""

from seg.model.network import Output, SegmentationAutoencoder, build_network

__all__ = ["Output", "SegmentationAutoencoder", "build_network"]
