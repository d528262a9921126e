"""The asset-graph context: workspaces, films, shots, takes and what they use, in PostgreSQL."""
