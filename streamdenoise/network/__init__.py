"""The network itself, in PyTorch.

Model, packing, checkpoints. Running it on a device is not here.
"""
