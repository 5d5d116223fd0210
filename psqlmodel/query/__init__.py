"""The query builder: expressions, functions and statements that become SQL text and parameters."""
