"""HTTP servers of children: their listener, their connections and what is said at the edge.

What is asked and answered is the child's. Nothing here knows streams, keys or the farm.
"""
