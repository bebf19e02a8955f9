"""What the vault remembers: one database, one writer, one transaction a decision."""
