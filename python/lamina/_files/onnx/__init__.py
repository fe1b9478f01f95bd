"""ONNX files: a graph of operators, written from the steps of a network and read back as such."""
