"""eventlet.db_pool is not here: what it pooled, database drivers' connections, their libraries pool today."""

raise ImportError(
    "dualwsgi.eventlet has no db_pool: use the pool of your database library (SQLAlchemy's QueuePool,"
    " psycopg_pool), or dualwsgi.eventlet.pools.Pool(create=connect)"
)
