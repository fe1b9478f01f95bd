"""C headers: a network as C99 code with its numbers in it, for programs without anything else."""
