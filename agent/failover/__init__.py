"""Failover on this host; so far rehearsals (test failovers)."""
