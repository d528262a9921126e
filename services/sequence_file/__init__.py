"""The sequence-file context: project folders on disk, their sequences and shots."""
