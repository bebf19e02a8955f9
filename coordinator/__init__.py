"""The vault: registers hosts, keeps policies and protections, runs jobs. Never sees a block of data.

Part of one application: install it in a virtual environment of its own, never beside other distributions.
"""

import replikera  # noqa: F401 - sets what gRPC must find before its first import
