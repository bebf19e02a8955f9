"""The wire protocol's generated stubs; see `proto/`."""
