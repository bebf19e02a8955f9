"""Orders from the vault: the session they come by, the ledger, and what carries them out."""
