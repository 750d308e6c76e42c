"""Which files are in a folder, a repository or an archive, in what order, and which of them are not opened."""
