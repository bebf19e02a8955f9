"""Loaded before every test."""

import replikera  # noqa: F401 - sets what gRPC must find before its first import
