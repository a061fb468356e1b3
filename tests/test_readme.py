"""The README promises nothing that is not there. Its tables of settings and rights have their own tests."""

import re
from pathlib import Path

from django.core.management import get_commands, load_command_class
from django.urls import Resolver404, resolve

from kb.flow import flagging

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str, text: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_two_commands_run_and_test_it() -> None:
    section = README.split("\n## Two commands\n")[1].split("\n## ")[0]

    run, test = blocks("sh", section)

    assert run.count("\n") == test.count("\n") == 1
    assert run.rstrip().endswith("manage.py quickstart")
    assert test.rstrip().endswith("-m pytest -q")
    assert blocks("sh", README) == [run, test]


def test_every_picture_and_file_that_it_shows_is_there() -> None:
    shown = re.findall(r"\]\(([^)#:]+)\)", README)

    assert {".readme/queue.png", ".readme/review.png", ".readme/post.png"} <= set(shown)
    assert [name for name in shown if not (PROJECT / name).is_file()] == []


def test_every_command_and_option_that_it_names_exists() -> None:
    known = get_commands()
    named = re.findall(r"python manage\.py (\w+)([^\n`]*)", README)

    wrong = []
    for name, rest in named:
        if name not in known:
            wrong.append(name)
            continue
        parser = load_command_class(known[name], name).create_parser("manage.py", name)
        options = {option for action in parser._actions for option in action.option_strings}
        wrong += [f"{name} {option}" for option in re.findall(r"--[\w-]+", rest) if option not in options]

    assert len(named) > 10
    assert wrong == []


def test_every_address_that_it_names_leads_somewhere() -> None:
    named = set(re.findall(r"(?:`|GET )(/[a-z0-9{}/_-]*)", README)) - {"/healthz", "/readyz"}

    lost = []
    for path in named:
        try:
            numbered = re.sub(r"\{(number|to)\}", "1", path)
            match = resolve(re.sub(r"\{\w+\}", "some-post", numbered))
        except Resolver404:
            lost.append(path)
            continue
        if match.url_name == "nothing":
            lost.append(path)

    assert "/api/v1/posts/{slug}/meta/" in named
    assert [path for path in lost if path != "/api/v1/"] == []


def test_every_flag_rule_is_in_its_table_with_its_severity() -> None:
    section = README.split("\n## For reviewers\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([a-z ]+) \|", section, re.MULTILINE)
    table = {code: severity for codes, severity in rows for code in re.findall(r"`(\w+)`", codes)}

    assert table == {code: str(rule.severity.label).lower() for code, rule in flagging.RULES.items()}
