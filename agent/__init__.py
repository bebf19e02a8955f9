"""One on every hypervisor host: captures, streams, keeps replicas and recovers them.

Part of an application: install it in a virtual environment of its own, never beside other distributions.
"""

import replikera  # noqa: F401 - sets what gRPC must find before its first import
