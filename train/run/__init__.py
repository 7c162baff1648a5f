"""A run's folder and processes: checkpoints, ranks, TensorBoard."""
