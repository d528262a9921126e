"""The three services, each a bounded context, and what every process shares."""
