"""What a sequence, a shot and an edit are. Standard library and kernel only."""
