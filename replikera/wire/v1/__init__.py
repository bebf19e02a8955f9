"""Generated from `proto/replikera/wire/v1`; never edited."""
