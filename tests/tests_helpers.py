"""What several test modules need."""

from __future__ import annotations


def forced_model(model, schedule, threads, as_long=False):
    """Fit with a schedule of the tester's choice."""
    engine = type(model)._engine

    def choose(self, prepared):
        trainer = engine(self, prepared)
        trainer.force_schedule(schedule, threads, as_long)
        return trainer

    model._engine = choose.__get__(model)
    return model
