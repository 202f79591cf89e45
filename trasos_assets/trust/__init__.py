"""Pure logic of trust: what is accepted and why not, who is who, what must be conserved."""
