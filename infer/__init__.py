"""An ONNX file and frames become masks. Never imports torch, train or export."""
