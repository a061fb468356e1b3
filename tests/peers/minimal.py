"""Turn an address into a stored row with as little as Python allows: no framework, one connection a thread.

It knows no access, no errors, no caching, no log: it is the measure, not a way to build something.
"""

import os
import threading

import psycopg

DETAIL, META = (
    f"SELECT {column} FROM kb_publication WHERE slug = %s AND (withhold_at IS NULL OR withhold_at > now())"
    for column in ("detail_json", "meta_json")
)
_thread = threading.local()


def application(environ, start_response):
    parts = environ["PATH_INFO"].split("/")  # "", "api", "v1", "posts", slug, then "" or "meta"
    if not hasattr(_thread, "cursor"):
        options = {"autocommit": True, "prepare_threshold": 1}
        _thread.connection = psycopg.connect(os.environ["READING_DATABASE_URL"], **options)
        _thread.cursor = _thread.connection.cursor()
    found = _thread.cursor.execute(META if parts[5] else DETAIL, [parts[4]]).fetchone()
    body = found[0].encode() if found else b"{}"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK" if found else "404 Not Found", headers)
    return [body]
