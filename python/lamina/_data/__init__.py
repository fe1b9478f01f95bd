"""Reading of user data: arrays, sparse matrices, rows of a call, streams of batches."""
