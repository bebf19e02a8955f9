"""The real machine behind `replikera.ports`."""
