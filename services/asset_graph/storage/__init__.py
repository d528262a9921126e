"""Where the graph is kept: PostgreSQL, its schema, its statements."""
