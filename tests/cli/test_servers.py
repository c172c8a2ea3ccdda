"""The command on servers of one's own: PostgreSQL and RabbitMQ by their URLs."""

from chassis import embedded
from tests.cli.conftest import Denda, Shop

KEYS = {"DENDA_SECRET_KEY": "s" * 32, "DENDA_SERVICE_KEY": "k" * 32}


def test_databases_are_made_migrated_and_found_well(empty_shop: Shop, rabbitmq_url: str, denda: Denda) -> None:
    server = embedded.launch(empty_shop.directory)
    urls = {"DENDA_DATABASE_URL": server.url, "DENDA_BUS_URL": rabbitmq_url}
    place = {**urls, **KEYS, "DENDA_PORT_OFFSET": str(empty_shop.port_offset)}
    try:
        unready = denda("doctor", **place)
        assert unready.exit_code == 1
        assert "denda migrate" in unready.output
        assert "shown only now" in denda("migrate", **place).output
        assert "shown only now" not in denda("migrate", **place).output
        assert denda("migrate", "--check", **place).exit_code == 0
        well = denda("doctor", **place)
        assert "RabbitMQ answers" in well.output
        assert well.exit_code == 0, well.output
        assert "no dead letters" in denda("events", "dead", "list", **place).output
    finally:
        server.stop()
