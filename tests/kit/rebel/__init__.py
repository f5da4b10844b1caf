"""A worker as a stranger's bitstream would have it: it tries to get out of its work."""
