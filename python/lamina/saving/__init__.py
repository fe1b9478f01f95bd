"""Models as text and as files."""
