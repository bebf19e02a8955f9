"""The vault's own certificate authority: a root, an issuing certificate, and leafs for hosts, operators and itself."""
