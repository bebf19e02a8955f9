"""Documents that the vault signs and that hosts believe without asking it: grants and deny-lists."""
