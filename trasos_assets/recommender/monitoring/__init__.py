"""A model at work: what it does by day, whether the world has moved away from it, and when to train again."""
