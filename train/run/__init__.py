"""The folder and the processes of a run: checkpoints, ranks, TensorBoard."""
