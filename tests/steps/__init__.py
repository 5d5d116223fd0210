"""Steps fed by hand: no database, no driver, no event loop."""
