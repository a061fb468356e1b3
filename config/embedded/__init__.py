"""The embedded PostgreSQL: server.py supervises it, base.py is the Django backend that asks for it."""
