"""psqlmodel: a PostgreSQL-only ORM whose centre is the session."""
