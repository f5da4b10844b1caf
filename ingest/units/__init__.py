"""Publishers whose protocol another process of the farm speaks: what that brings is units.

`input.py` is the `Input`, `connection.py` one publisher, `to_units.py` what its messages hold.
The messages, and what may stand in them, are `common/ipc/unit_messages.py`.
"""
