"""Workspaces, assets, relationships, selection, change log, deleted things, and who may see them."""

from services.asset_graph.storage.migrations import script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates everything."""
    script.run(revision)
