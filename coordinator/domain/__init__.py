"""What the vault decides: values and state machines, without input or output.

Every change is a function of the present aggregates, ids and `now` that returns a `Decision`; it is stored in one
transaction before anything is sent. So a restart repeats nothing and loses nothing.
"""
