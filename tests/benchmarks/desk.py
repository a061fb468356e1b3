"""Turn a number of synthetic posts into a table: server time and queries of the desk's pages.

    python -m tests.benchmarks.desk --posts 100000 --revisions 300000 --keep

Works in a database of its own: kb_bench beside kb, or the configured one if "bench" is in its name.
"""

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from kb.models import Post, Publication, Revision
from tests.benchmarks import filling
from tests.benchmarks.database import use_own_database
from tests.forms import filled

# What is measured. {post} is the id of a post that waits for review, another one each time.
PLACES = {
    "first page": "/admin/",
    "posts": "/admin/kb/post/",
    "posts that wait": "/admin/kb/post/?state=waiting",
    "posts, by flag": "/admin/kb/post/?flag=credential",
    "posts, by score": "/admin/kb/post/?score=none",
    "posts, searched": "/admin/kb/post/?q=nothing+has+this",
    "queue": "/admin/kb/queue/",
    "queue, by flag": "/admin/kb/queue/?flag=missing_owner&claim=free",
    "queue, by topic": "/admin/kb/queue/?topic=no+such+topic",
    "queue, by source": "/admin/kb/queue/?source=no+such+source",
    "queue, by run": "/admin/kb/queue/?run=1",
    "queue, by age": "/admin/kb/queue/?age=30&score=0-49",
    "queue, by author": "/admin/kb/queue/?author=person-1",
    "changes requested": "/admin/kb/queue/?tab=returned",
    "my drafts": "/admin/kb/queue/?tab=drafts",
    "due": "/admin/kb/queue/?tab=due",
    "my decisions": "/admin/kb/queue/?tab=decided",
    "review page": "/admin/kb/post/{post}/review/",
    "review, beside": "/admin/kb/post/{post}/review/?base=1&view=split",
    "form": "/admin/kb/post/{post}/change/",
    "preview": "/admin/kb/post/{post}/preview/",
    "revision page": "/admin/kb/post/{post}/history/2/",
    "revisions compared": "/admin/kb/post/{post}/history/1/diff/3/",
    "history": "/admin/kb/post/{post}/history/",
    "comments": "/admin/kb/post/{post}/comments/",
    "audit of a post": "/admin/kb/post/{post}/audit/",
    "audit": "/admin/kb/audit/",
    "audit of a person": "/admin/kb/audit/?who=person-1",
    "rights": "/admin/kb/rights/",
    "sign-off": "/admin/kb/sign-off/",
    "notices": "/admin/kb/notices/",
}
NEXT = "/admin/kb/queue/next/"
CHECK = "/admin/kb/post/check/"
TIMES = 30


class Taken(NamedTuple):
    """Milliseconds of one request: by the clock, of this process, and in the database."""

    wall: float
    own: float
    database: float


def measure() -> Iterator[tuple[str, int, list[Taken]]]:
    """Place, queries, and what each request took."""
    client = Client()
    client.force_login(User.objects.get(username="person-0"))
    waiting = list(Post.objects.waiting().order_by("?").values_list("pk", flat=True)[: TIMES + 1])
    if len(waiting) <= TIMES:
        sys.exit(f"Only {len(waiting)} posts wait, and {TIMES + 1} are needed: fill again, without --keep")
    for name, place in PLACES.items():
        addresses = [place.format(post=post) for post in waiting]
        yield repeat(name, [partial(client.get, address) for address in addresses])
    typed = [filled(client.get(PLACES["form"].format(post=post)), "post_form") for post in waiting]
    yield repeat("check of a draft", [partial(client.post, CHECK, sent) for sent in typed])
    yield repeat("take next", [partial(client.post, NEXT)] * (TIMES + 1))


def repeat(name: str, requests: list[Callable[[], Any]]) -> tuple[str, int, list[Taken]]:
    with CaptureQueriesContext(connection) as queries:
        answer = requests[0]()
    if answer.status_code not in {200, 302}:
        sys.exit(f"{name}: answered {answer.status_code}, expected 200")
    return name, len(queries.captured_queries), [timed(request) for request in requests[1:]]


def timed(request: Callable[[], Any]) -> Taken:
    in_database = 0.0

    def watch(execute: Callable[..., Any], *asked: Any) -> Any:
        nonlocal in_database
        start = time.perf_counter()
        try:
            return execute(*asked)
        finally:
            in_database += time.perf_counter() - start

    start, own = time.perf_counter(), time.process_time()
    with connection.execute_wrapper(watch):
        request()
    taken = time.perf_counter() - start, time.process_time() - own, in_database
    return Taken(*(1000 * seconds for seconds in taken))


def figures(taken: list[Taken]) -> Iterator[float]:
    """Median and 95th percentile of each."""
    for column in zip(*taken, strict=True):
        yield from (statistics.median(column), statistics.quantiles(column, n=20)[-1])


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
    print(f"{'milliseconds':<20}{'':>8}{'server time':>16}{'of it own CPU':>16}{'in PostgreSQL':>16}")
    print(f"{'':<20}{'queries':>8}" + f"{'p50':>10}{'p95':>6}" * 3)
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        for name, queries, taken in measure():
            numbers = (
                f"{number:>{6 if place % 2 else 10}.0f}" for place, number in enumerate(figures(taken))
            )
            print(f"{name:<20}{queries:>8}" + "".join(numbers), flush=True)


if __name__ == "__main__":
    main()
