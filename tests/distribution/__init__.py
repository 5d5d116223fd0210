"""Tables of a Citus cluster: how they are declared, made, written and read."""
