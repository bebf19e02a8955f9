"""What the code asks of the machine it runs on: protocols only, so that tests can put another machine under it."""
