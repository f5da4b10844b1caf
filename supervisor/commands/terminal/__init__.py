"""Text on a terminal: lines that fit a width, keys, the console. It knows no farm."""
