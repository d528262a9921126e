"""The command-line client. Speaks contracts only."""
