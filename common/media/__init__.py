"""Media as no protocol and no container owns it: units, their configurations, rates, GOPs, clocks.

Everything here is pure values and small machines over them, for inputs, workers and outputs alike.
Containers belong to `common.flv`, coded formats to `common.codecs`, protocols to the folders that
are named after them: none of these may be needed here.
"""
