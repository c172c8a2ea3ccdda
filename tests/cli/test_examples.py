"""The examples of the reference, said to a shell beside the demo, in the order in which the page prints them."""

import html
import os
import re
import shutil
import subprocess
import sys
from urllib.request import urlopen

import pytest

from tests.cli.conftest import Denda, Shop

BLOCK = re.compile(r"<pre[^>]*><code>(.*?)</code></pre>", re.DOTALL)


def examples(shop: Shop) -> tuple[str, list[str]]:
    """What to say first, and the calls of curl, as the page shows them."""
    with urlopen(f"http://127.0.0.1:{7180 + shop.port_offset}/docs") as answer:
        blocks = [html.unescape(block) for block in BLOCK.findall(answer.read().decode())]
    return blocks[0], [block for block in blocks[1:] if block.startswith("curl ")]


def answers(first: str, calls: list[str], password: str, shop: Shop) -> list[tuple[str, str]]:
    """The status of each call and what was said with it, of one shell that was told `first` once."""
    script = [first.replace(".venv/bin/denda", f"{sys.executable} -m services.cli")]
    for call in calls:
        seconds = 2 if " -N " in call else 20
        script += [call.replace("curl", f"curl -s -w '\\n%{{http_code}}' --max-time {seconds}", 1), "printf '\\0'"]
    done = subprocess.run(
        ["sh", "-c", "\n".join(["exec 2>&1", *script])],
        env={**os.environ, **shop.environment, "DENDA_PASSWORD": password},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    told = [answer.rpartition("\n") for answer in done.stdout.split("\0")[:-1]]
    return [(status, answer) for answer, _, status in told]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_work_as_printed(shop: Shop, denda: Denda) -> None:
    pytest.importorskip("pyarrow")
    loaded = denda("demo", "--people", "120", **shop.environment)
    assert loaded.exit_code == 0, loaded.output
    password = re.search(r"password +(\S{16,})", "".join(shop.shown))
    assert password
    first, calls = examples(shop)
    assert len(calls) > 100
    told = dict(zip(calls, answers(first, calls, password[1], shop), strict=True))
    wrong = {call: answer for call, (status, answer) in told.items() if status != "200"}
    assert not wrong, "\n".join(f"{call}\n  {answer}" for call, answer in wrong.items())
