"""The operators' one surface: REST under `/api/v1`, as docs/rest.md tells it."""
