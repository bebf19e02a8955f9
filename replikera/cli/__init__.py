"""The operator's commands: a client of the vault's REST API. Only `main` and what it imports load at start."""
