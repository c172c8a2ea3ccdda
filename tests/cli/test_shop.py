"""A whole shop from the command line: `denda up` in a process of its own, used as its owner would."""

import re
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis import embedded
from chassis.bus import Envelope, connect
from chassis.events import event_type
from chassis.ids import new_id
from denda.notifications.v1.events_pb2 import MessagesChanged
from tests.cli.conftest import Denda, Shop, wait_until

PEOPLE = """email,given_name,phone,E-mail ok
ane@shop.example,Ane,+34944000000,yes
nobody,Bo,,yes
jon@shop.example,Jon,not a number,no
miren@shop.example,Miren,,no
"""


def counted(output: str) -> list[int]:
    return [int(number) for number in re.findall(r"(\d+) (?:rows|created|updated|unchanged|refused)", output)]


def test_the_first_start_shows_where_to_look_and_the_password_once(shop: Shop) -> None:
    shown = "".join(shop.shown)
    assert f"http://127.0.0.1:{7180 + shop.port_offset}" in shown
    assert re.search(r"password +\S{16,} +\(shown only now\)", shown)


def test_the_password_logs_in(shop: Shop, denda: Denda) -> None:
    found = re.search(r"password +(\S{16,})", "".join(shop.shown))
    assert found
    secret = {**shop.environment, "DENDA_PASSWORD": found[1]}
    assert denda("token", "--email", "admin@denda.example", **secret).output.count(".") == 2
    wrong = denda("token", "--email", "admin@denda.example", **{**secret, "DENDA_PASSWORD": "wrong"})
    assert wrong.exit_code == 1
    assert "wrong" in wrong.output


def test_whoever_reads_the_data_directory_gets_a_token(shop: Shop, denda: Denda) -> None:
    assert denda("token", **shop.environment).stdout.count(".") == 2
    assert (shop.directory / "service_key").stat().st_mode & 0o077 == 0


def test_a_wrong_key_is_refused(shop: Shop, empty_shop: Shop, denda: Denda) -> None:
    result = denda("campaign", "list", **shop.environment, DENDA_API_KEY="denda_wrong")
    assert result.exit_code == 1
    assert "API key" in result.output


def test_the_doctor_finds_all_well_and_tells_misspelt_settings(shop: Shop, denda: Denda) -> None:
    assert "All is well" in denda("doctor", **shop.environment).output
    result = denda("doctor", **shop.environment, DENDA_GRPC_THREDS="9")
    assert result.exit_code == 1
    assert "Did you mean DENDA_GRPC_THREADS?" in result.output


def test_the_doctor_counts_the_settings_that_somebody_made(shop: Shop, denda: Denda) -> None:
    assert f"✓ {len(shop.environment)} settings come from the environment" in denda("doctor", **shop.environment).output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DENDA_SMTP_SECURITY", "maybe"),
        ("DENDA_PORT_OFFSET", "99999"),
        ("DENDA_ADDRESS_TEMPLATE", "{host}:{port}"),
        ("DENDA_DATABASE_URL", "mysql://db.example/{service}"),
        ("DENDA_PUBLIC_URL", "shop.example"),
    ],
)
def test_the_doctor_names_a_setting_with_an_impossible_value_once(
    shop: Shop, denda: Denda, name: str, value: str
) -> None:
    result = denda("doctor", **{**shop.environment, name: value})
    assert result.exit_code == 1
    assert result.output.count("✗") == 1
    assert f"✗ {name}: " in result.output
    assert "Error" not in result.output


def test_the_doctor_says_which_settings_lead_to_a_relay_that_does_not_answer(shop: Shop, denda: Denda) -> None:
    relay = {"DENDA_EMAIL_PROVIDER": "smtp", "DENDA_SMTP_PORT": "1"}
    result = denda("doctor", **shop.environment, **relay)
    assert result.exit_code == 1
    assert "✗ email: smtp does not answer: [Errno 111] Connection refused" in result.output
    assert "DENDA_SMTP_" in result.output
    assert "sms: sandbox answers" in result.output


def test_the_doctor_looks_into_the_mailbox_that_is_polled(shop: Shop, denda: Denda) -> None:
    result = denda("doctor", **shop.environment, DENDA_IMAP_URL="imap://ane:secret@127.0.0.1:1/INBOX")
    assert result.exit_code == 1
    assert "✗ The mailbox at 127.0.0.1 does not answer" in result.output
    assert "Check DENDA_IMAP_URL" in result.output
    assert "secret" not in result.output


def test_a_wrong_password_is_not_blamed_on_a_key(shop: Shop, denda: Denda) -> None:
    result = denda("token", "--email", "nobody@shop.example", "--password", "guessed", **shop.environment)
    assert result.exit_code == 1
    assert "password is wrong" in result.output
    assert "DENDA_API_KEY" not in result.output


def test_a_file_is_imported_with_a_report_and_the_same_command_goes_on(
    shop: Shop, denda: Denda, tmp_path: Path
) -> None:
    file, errors = tmp_path / "people.csv", tmp_path / "errors.csv"
    file.write_text(PEOPLE)
    command = ["import", "people", str(file), "--consent", "marketing:email:E-mail ok", "--errors", str(errors)]
    dry = denda(*command, "--dry-run", **shop.environment)
    assert dry.exit_code == 1
    assert counted(dry.output)[:1] == [4]
    first = denda(*command, **shop.environment)
    assert first.exit_code == 1
    assert [line.split(",")[:2] for line in errors.read_text().splitlines()[1:]] == [["3", "email"], ["4", "phone"]]
    again = denda(*command, **shop.environment)
    assert again.stdout == first.stdout
    assert ["imported before" in each.output for each in (first, again)] == [False, True]


def test_a_file_that_lacks_the_key_is_refused_as_a_whole(shop: Shop, denda: Denda, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("given_name\nAne\n")
    result = denda("import", "people", str(file), **shop.environment)
    assert result.exit_code == 1
    assert "email" in result.output


def test_the_demo_can_be_repeated_without_doubling_anything(shop: Shop, denda: Denda) -> None:
    pytest.importorskip("pyarrow")
    first = denda("demo", "--people", "120", **shop.environment)
    assert first.exit_code == 0, first.output
    listed = denda("campaign", "list", **shop.environment).output
    assert denda("demo", "--people", "120", **shop.environment).exit_code == 0
    again = denda("campaign", "list", **shop.environment).output
    assert [line.split()[0] for line in again.splitlines()] == [line.split()[0] for line in listed.splitlines()]
    assert re.findall(r"finished +(\d+)", again) == re.findall(r"finished +(\d+)", listed)
    assert len(re.findall("finished", again)) == 3
    watched = denda("campaign", "watch", "Letter to everybody", **shop.environment)
    assert "NO_CONSENT" in watched.output
    explained = denda("campaign", "explain", "Letter to everybody", "caleb.harris.2@mail.example", **shop.environment)
    assert "CONSENT" in explained.output


def test_dead_letters_are_listed_replayed_and_dropped(shop: Shop, denda: Denda) -> None:
    assert "no dead letters" in denda("events", "dead", "list", **shop.environment).output
    url = embedded.running(shop.directory)
    assert url
    bus = connect(url.replace("{service}", "bus"))
    poison = Envelope(new_id(), event_type(MessagesChanged), "test", datetime.now(UTC), b"no protobuf at all")
    bus.publish([poison])
    wait_until(lambda: bool(bus.dead("contacts.events")))
    bus.close()
    listed = denda("events", "dead", "list", "contacts.events", **shop.environment).output
    assert str(poison.id) in listed
    assert "MessagesChanged" in listed
    assert "dead letters" in denda("doctor", **shop.environment).output
    # Both contacts and campaigns listen to this event.
    assert "1 dropped" in denda("events", "dead", "drop", "campaigns.events", "--all", **shop.environment).output
    assert "1 put back" in denda("events", "dead", "replay", "contacts.events", **shop.environment).output
    wait_until(lambda: str(poison.id) in denda("events", "dead", "list", **shop.environment).output)
    assert "1 dropped" in denda("events", "dead", "drop", "contacts.events", str(poison.id), **shop.environment).output


def test_a_second_one_in_the_same_place_or_on_the_same_ports_is_refused(
    shop: Shop, empty_shop: Shop, denda: Denda
) -> None:
    result = denda("up", **shop.environment)
    assert result.exit_code == 1
    assert "Another Denda" in result.output
    result = denda("up", **{**shop.environment, "DENDA_DATA_DIR": str(empty_shop.directory)})
    assert result.exit_code == 1
    assert "is taken by another program" in result.output


def test_a_database_that_lacks_migrations_is_not_served(empty_shop: Shop, denda: Denda) -> None:
    place = empty_shop.environment
    assert denda("migrate", "--check", **place).exit_code == 1
    assert "identity" in denda("migrate", "identity", **place).output
    assert denda("migrate", "identity", "--check", **place).exit_code == 0
    result = denda("serve", "contacts", "--role", "worker", **place)
    assert result.exit_code == 1
    assert "denda migrate" in result.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_the_next_start_finds_the_data(
    number: signal.Signals, shop: Shop, denda: Denda
) -> None:
    code, words = shop.stop(number)
    assert code == 0
    assert "Stopped." in words
    shown = shop.start()
    assert "as shown at the first start" in shown
    assert "Loading the demo" not in shown
    assert "Letter to everybody" in denda("campaign", "list", **shop.environment).output
