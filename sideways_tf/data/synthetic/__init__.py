"""Data sets that the package draws itself, so that no download is needed."""
