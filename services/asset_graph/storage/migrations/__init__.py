"""The schema's history: one module in `versions` for each step, and the SQL that it runs."""

__all__ = ["MigrationError"]


class MigrationError(Exception):
    """The database cannot be brought to the newest schema as it is: why, and what the operator can do."""
