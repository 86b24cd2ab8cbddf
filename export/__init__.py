"""A trained run becomes a verified ONNX file."""
