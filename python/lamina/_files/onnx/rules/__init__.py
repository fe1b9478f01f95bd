"""What the layers of networks look like in ONNX graphs, a rule for each."""
