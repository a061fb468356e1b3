"""Turn a number of published posts into a table: kb's API beside two other ways to send the same.

    python -m tests.benchmarks.reading --posts 100000 --keep

In one run, on the same tables, server and load: (a) tests/peers/minimal.py, which sends a stored row and
knows nothing else, and (b) tests/peers/drf.py, an ordinary project. The servers take turns, so that whatever
else the machine does meets all of them; where it does much, compare CPU, not answers a second. What is
searched for and counted comes last, of kb alone and one request at a time: there the time of each counts.
"""

import argparse
import json
import logging
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from django.core.management import call_command
from django.db import connection, connections

from config.options import PROJECT
from kb.api.pagination import Cursor
from kb.models import Entity, Publication, PublishedEntity, PublishedWord
from tests.benchmarks import load, published
from tests.benchmarks.database import use_own_database
from tests.benchmarks.filling import tell

SAMPLE = 500  # addresses of one point
Addresses = dict[str, dict[str, list[str]]]  # point, server, addresses


def addresses() -> Addresses:
    posts = "/api/v1/posts/"
    one = addresses_of_posts()
    meta = [f"{address}meta/" for address in one]
    found: Addresses = {
        "detail": {"kb": one, "minimal": one, "drf": one},
        "meta": {"kb": meta, "minimal": meta, "drf": meta},
        "entity": entities(),
        "first page": {"kb": [posts], "drf": [posts]},
        "deep page": deep(posts),
    }
    for name, query in filters().items():
        asked = [f"{posts}?{urlencode(one)}" for one in query]
        found[name] = {"kb": asked, "drf": asked}
    return found


def entities() -> dict[str, list[str]]:
    rows = PublishedEntity.objects.order_by("-posts").values_list("type", "name", "slug")[:SAMPLE]
    keys = {(kind, name): pk for pk, kind, name in Entity.objects.values_list("pk", "type", "name")}
    return {
        "kb": [f"/api/v1/entities/{quote(kind)}/{slug}/" for kind, _, slug in rows],
        "drf": [f"/api/v1/entities/{keys[kind, name]}/" for kind, name, _ in rows],
    }


def deep(posts: str) -> dict[str, list[str]]:
    """Pages from the middle on."""
    total = Publication.objects.count()
    places = Publication.objects.newest_first().values_list("published_at", "pk")
    cursors = [Cursor(place) for place in places[total // 2 : total // 2 + 5000 : 100]]
    pages = range(total // 100, total // 100 + len(cursors))
    return {
        "kb": [f"{posts}?cursor={cursor}" for cursor in cursors],
        "drf": [f"{posts}?page={page}" for page in pages],
    }


def filters() -> dict[str, list[dict[str, str]]]:
    stacks, topics = published.STACKS.names, published.TOPICS.names
    return {
        "common stack": [{"stack": name} for name in stacks[:5]],
        "rare stack": [{"stack": name} for name in stacks[-100:]],
        "common topic": [{"topic": name} for name in topics[:5]],
        "stack and topic": [{"stack": name, "topic": topics[0]} for name in stacks[5:55]],
    }


def searches() -> dict[str, list[str]]:
    """What is asked one at a time: words that most posts and that few posts have, questions, counts."""
    words = PublishedWord.objects.filter(word__regex="^[a-z]{4,}$")
    common = list(words.order_by("-posts").values_list("word", flat=True)[:30])
    rare = list(words.filter(posts__lte=200).order_by("-posts").values_list("word", flat=True)[:50])
    chance = random.Random(1)
    queries = {
        "common word": common,
        "rare word": rare or common[-1:],
        "two words": [" ".join(chance.sample(common, 2)) for _ in range(50)],
        "question": [f"how do I {' '.join(chance.sample(common, 5))} in production" for _ in range(50)],
    }
    found = {
        name: [f"/api/v1/search/?{urlencode({'q': one})}" for one in asked] for name, asked in queries.items()
    }
    stacks = [f"/api/v1/search/?{urlencode({'q': one, 'stack': 'stack 1'})}" for one in common]
    return {
        **found,
        "common, a stack": stacks,
        "facets": ["/api/v1/facets/"],
        "facets of stack": [f"/api/v1/facets/?stack=stack+{number}" for number in range(1, 21)],
        "exact count": ["/api/v1/posts/?limit=1&count=exact&quality__gte=50"],
        "similar": [f"{address}similar/" for address in addresses_of_posts()],
        "status": ["/api/v1/status/"],
    }


def addresses_of_posts() -> list[str]:
    slugs = random.sample(list(Publication.objects.values_list("slug", flat=True)), SAMPLE)
    return [f"/api/v1/posts/{slug}/" for slug in slugs]


def environment() -> dict[str, str]:
    """What makes a server of kb one of production, on the bench's database."""
    where = connections["reading"].get_connection_params()
    place = f"{connection.settings_dict['NAME']}?{urlencode({'host': where['host']})}"
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"postgresql://{connection.get_connection_params()['user']}@/{place}",
        "READING_DATABASE_URL": f"postgresql://{where['user']}@/{place}",
        "SECRET_KEY": "for measurements alone: signs nothing that anybody else would believe",
        "ALLOWED_HOSTS": "127.0.0.1",
        "KB_HTTPS": "false",
        "KB_READ_ACCESS": "public",
        # All of it comes from one address.
        "KB_API_RATE_ADDRESS": "0",
    }


def postmaster() -> int:
    """The process above all of the database's: of the one that answers here, the parent."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


def measure(
    points: Addresses, alone: dict[str, list[str]], *, rounds: int, seconds: int
) -> list[load.Server]:
    common = environment()
    apps = {
        "kb": ("config.wsgi:application", common),
        "minimal": ("tests.peers.minimal:application", common),
        "drf": (
            "tests.peers.drf_wsgi:application",
            common | {"DJANGO_SETTINGS_MODULE": "tests.peers.drf_settings"},
        ),
    }
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0"]
    subprocess.run(command, env={**os.environ, **common}, cwd=PROJECT, check=True)
    database = postmaster()
    with ExitStack() as stack:
        servers = [
            stack.enter_context(load.granian(name, app, 8201 + place, variables))
            for place, (name, (app, variables)) in enumerate(apps.items())
        ]
        for turn in range(-1, rounds):
            for point, by_server in points.items():
                for server in servers:
                    if server.name in by_server:
                        tell(f"{turn + 1}/{rounds} {point} {server.name:<30}")
                        asked = random.sample(by_server[server.name], len(by_server[server.name]))
                        server.get(asked[0])
                        # The first turn, a short one, makes all of them warm.
                        server.measure(point, asked, database, seconds if turn >= 0 else 1)
                        if turn < 0:
                            server.taken.clear()
        for point, asked in alone.items():
            tell(f"{point:<40}")
            servers[0].measure(point, asked, database, 1)
            servers[0].taken.pop(point)
            for _ in range(rounds):
                servers[0].measure(point, random.sample(asked, len(asked)), database, seconds, 1)
        return servers


def figures(servers: list[load.Server], points: Iterable[str]) -> Iterator[dict[str, Any]]:
    for point in points:
        for server in servers:
            taken = server.taken.get(point)
            if not taken:
                continue
            # Where not even one came back in time, it was fewer than one.
            requests = max(1, sum(one["requests"] for one in taken))
            weighted = {
                name: sum(one[name] * one["requests"] for one in taken) / requests
                for name in ("server_ms", "database_ms")
            }
            yield {
                "point": point,
                "server": server.name,
                "rate": requests / sum(one["seconds"] for one in taken),
                **{name: statistics.median(one[name] for one in taken) for name in ("p50", "p95", "p99")},
                **weighted,
                "memory_mb": max(one["memory_mb"] for one in taken),
                "errors": sum(one["errors"] for one in taken),
            }


def report(rows: list[dict[str, Any]]) -> None:
    """A table for people: kb as a multiple of the others, by answers a second and by CPU."""
    by_key = {(row["point"], row["server"]): row for row in rows}
    times = "".join(f"{name:>8}" for name in ("p50", "p95", "p99"))
    print(f"{'':<17}{'':<9}{'a second':>9}{times}{'CPU ms':>9}{'in PG':>7}{'MB':>6}  kb is")
    for row in rows:
        kb = by_key[row["point"], "kb"]
        line = f"{row['point']:<17}{row['server']:<9}{row['rate']:>9.1f}{row['p50']:>8.1f}"
        line += f"{row['p95']:>8.1f}{row['p99']:>8.1f}"
        line += f"{row['server_ms']:>9.3f}{row['database_ms']:>7.3f}{row['memory_mb']:>6.0f}"
        if row is not kb:
            by_cpu = cost(row) / max(cost(kb), 1e-9)
            line += f"  {kb['rate'] / row['rate']:.2f} times as fast, {by_cpu:.2f} by CPU"
        print(line + (f"  {row['errors']:.0f} errors" if row["errors"] else ""))


def cost(row: dict[str, Any]) -> float:
    return row["server_ms"] + row["database_ms"]


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--keep", action="store_true", help="use what the last run filled in")
    parser.add_argument("--fill-only", action="store_true", help="measure nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each server at each point and round")
    parser.add_argument("--out", type=Path, help="append the figures to this file, one JSON object a line")
    options = parser.parse_args()
    if use_own_database(keep=options.keep, ending=f"reading_bench_{options.posts}"):
        start = time.perf_counter()
        call_command("migrate", verbosity=0)
        published.fill(options.posts, processes=os.cpu_count() or 1)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        tell(f"filled in {time.perf_counter() - start:.0f} s\n")
    if options.fill_only:
        return
    points, alone = addresses(), searches()
    servers = measure(points, alone, rounds=options.rounds, seconds=options.seconds)
    rows = list(figures(servers, [*points, *alone]))
    print()
    report(rows)
    if options.out:
        with options.out.open("a") as file:
            file.writelines(
                json.dumps({"posts": options.posts, "at": int(time.time()), **row}) + "\n" for row in rows
            )


if __name__ == "__main__":
    main()
