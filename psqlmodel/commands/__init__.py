"""The subcommands of `psqlmodel`, a module each: `main(arguments, prog)` parses, works, prints, gives an exit code."""
