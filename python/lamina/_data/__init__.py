"""Data of users: arrays, sparse rows, rows of a call, streams of batches."""
