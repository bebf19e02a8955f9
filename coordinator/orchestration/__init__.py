"""Carries decisions out: loads what they need, stores what they say, wakes whom they concern."""
