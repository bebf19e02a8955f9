"""One module a noun; each offers `app`, or `command` where the noun has no verbs."""
