"""What the data cost and how that is kept in bounds: sizes, growth, unread columns, retention, compaction."""
