"""What an asset, a relationship and a selection are. Standard library and kernel only."""
