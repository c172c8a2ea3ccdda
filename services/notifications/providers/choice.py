"""Which provider serves which channel, as the settings say."""

from functools import cache

from services.notifications.providers import Provider
from services.notifications.providers.sandbox import Sandbox
from services.notifications.providers.smtp import Smtp
from services.notifications.settings import settings
from services.notifications.states import Channel


def provider_of(channel: Channel) -> Provider:
    """The provider that takes messages of this channel."""
    chosen = settings()
    return provider_named(
        {Channel.EMAIL: chosen.email_provider, Channel.SMS: chosen.sms_provider, Channel.VOICE: chosen.voice_provider}[
            channel
        ]
    )


@cache
def provider_named(name: str) -> Provider:
    """The one provider of this name. Raises KeyError when there is none."""
    providers: dict[str, type[Provider]] = {"sandbox": Sandbox, "smtp": Smtp}
    return providers[name]()
