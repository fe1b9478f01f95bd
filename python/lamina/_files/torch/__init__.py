"""PyTorch's modules and state dicts, described without PyTorch."""
