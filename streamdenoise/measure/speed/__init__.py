"""Time and memory of steps and whole jobs, beside what the machine can do."""
