"""Where sequences are kept: the files of a project folder, or memory."""
