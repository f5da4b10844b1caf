"""`tfarm status`: what is known of a running farm as JSON, and the pages that show it.

Pages are made of the JSON document alone, so that everything shown can be had by programs.
"""
