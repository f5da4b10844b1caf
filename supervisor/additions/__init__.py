"""What requests have added to the farm's configuration, beside what its file says.

`additions.py` decides, and knows no file; `kept_file.py` keeps it for the next supervisor, and
`own_host.py` asks the kernel which addresses are this host's. How a request is written is in
`common/additions/`.
"""
