"""Erasure of a person: who that is, every line and row of theirs, and the proof that nothing of them is left."""
