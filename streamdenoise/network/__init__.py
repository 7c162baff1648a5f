"""The network in PyTorch: model, packing, checkpoints. What runs it is elsewhere."""
