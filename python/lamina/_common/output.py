"""What methods tell about their progress: on the standard output, or in a log."""

from __future__ import annotations

__all__ = ["disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled", "say"]

_interactive = True


def enable_interactive_logging() -> None:
    """Print progress on the standard output, as it is by default."""
    global _interactive
    _interactive = True


def disable_interactive_logging() -> None:
    """Send lines about progress to Python's logger ``"lamina"``, level INFO, instead; there are no bars then."""
    global _interactive
    _interactive = False


def is_interactive_logging_enabled() -> bool:
    """Return whether progress is printed on the standard output."""
    return _interactive


def say(text: str) -> None:
    """Print text, or log it."""
    if _interactive:
        print(text, flush=True)
        return
    import logging  # here: `import lamina` need not load it

    logging.getLogger("lamina").info(text.strip("\n"))
