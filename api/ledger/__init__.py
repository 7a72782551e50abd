"""Assets, incidents, work orders, users and audit, kept by SQLAlchemy."""
