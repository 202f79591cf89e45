"""The table store: how tables are computed, staged, validated and published, and the engine that does it."""
