"""Turn a number of synthetic posts into a table: server time and queries of the desk's pages.

    python -m tests.benchmarks.desk --posts 100000 --revisions 300000 --keep

Works in a database of its own: kb_bench beside kb, or the configured one if "bench" is in its name.
"""

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Iterator

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from kb.models import Post, Publication, Revision
from tests.benchmarks import filling

# What is measured. {post} is the id of a post that waits for review, another one each time.
PLACES = {
    "first page": "/admin/",
    "posts": "/admin/kb/post/",
    "posts that wait": "/admin/kb/post/?state=waiting",
    "queue": "/admin/kb/queue/",
    "queue, by flag": "/admin/kb/queue/?flag=missing_owner&claim=free",
    "queue, by topic": "/admin/kb/queue/?topic=no+such+topic",
    "queue, by age": "/admin/kb/queue/?age=30&score=0-49",
    "queue, by author": "/admin/kb/queue/?author=person-1",
    "my drafts": "/admin/kb/queue/?tab=drafts",
    "due": "/admin/kb/queue/?tab=due",
    "my decisions": "/admin/kb/queue/?tab=decided",
    "review page": "/admin/kb/post/{post}/review/",
    "revision page": "/admin/kb/post/{post}/history/2/",
}
NEXT = "/admin/kb/queue/next/"
TIMES = 30


def measure() -> Iterator[tuple[str, int, float, float]]:
    """Place, queries, then median and 95th percentile of server time in milliseconds."""
    client = Client()
    client.force_login(User.objects.get(username="person-0"))
    waiting = list(Post.objects.waiting().order_by("?").values_list("pk", flat=True)[: TIMES + 1])
    if len(waiting) <= TIMES:
        sys.exit(f"Only {len(waiting)} posts wait, and {TIMES + 1} are needed: fill again, without --keep")
    for name, place in PLACES.items():
        addresses = [place.format(post=post) for post in waiting]
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(addresses[0])
        asked = len(queries)
        if answer.status_code != 200:
            sys.exit(f"{addresses[0]} answered {answer.status_code}, expected 200")
        taken = [timed(client, address) for address in addresses[1:]]
        yield name, asked, statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    with CaptureQueriesContext(connection) as queries:
        client.post(NEXT)
    taken = [timed(client, NEXT, "POST") for _ in range(TIMES)]
    yield "take next", len(queries), statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def timed(client: Client, address: str, method: str = "GET") -> float:
    start = time.perf_counter()
    client.generic(method, address)
    return 1000 * (time.perf_counter() - start)


def use_own_database(*, keep: bool) -> bool:
    """Point all connections at the bench's database; whether it is new."""
    configured = connection.settings_dict["NAME"]
    name = configured if "bench" in configured else f"{configured}_bench"
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        new = not (keep and cursor.fetchone())
        if new:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
            cursor.execute(f'CREATE DATABASE "{name}"')
    for alias in connections:
        connections[alias].close()
        connections[alias].close_pool()
        connections[alias].settings_dict["NAME"] = name
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == (name,)  # whatever it was told: no other one is filled
    return new


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--revisions", type=int, default=300_000, help="of all posts together")
    parser.add_argument("--keep", action="store_true", help="use what the last run filled in")
    options = parser.parse_args()
    if use_own_database(keep=options.keep):
        start = time.perf_counter()
        call_command("migrate", verbosity=0)
        filling.fill(options.posts, options.revisions)
        filling.tell(f"filled in {time.perf_counter() - start:.0f} s\n")
    print(
        f"{Post.objects.count():,} posts, {Revision.objects.count():,} revisions, "
        f"{Publication.objects.count():,} publications, {TIMES} requests each"
    )
    print(f"{'':<20}{'queries':>8}{'p50 ms':>9}{'p95 ms':>9}")
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        for name, queries, middle, high in measure():
            print(f"{name:<20}{queries:>8}{middle:>9.0f}{high:>9.0f}")


if __name__ == "__main__":
    main()
