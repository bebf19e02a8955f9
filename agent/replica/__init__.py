"""The target's side of replication: keeps the replica and gives back any retained point of it."""
