"""The shared words of the segmentation autoencoder: classes, label sets, configs, the deploy contract, metrics."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("segmentation-autoencoder")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
