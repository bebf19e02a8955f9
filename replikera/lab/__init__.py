"""Two sites on one machine: the whole line by the operations of a user, and its proof by an independent reader."""
