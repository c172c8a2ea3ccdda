"""Which opens and clicks are a machine's: crawlers, link scanners, mail clients that fetch before anybody reads."""

from crawleruseragents import is_crawler

# Image proxies of webmail fetch when the person opens the mail, so theirs are people's.
PROXIES = ("GoogleImageProxy", "YahooMailProxy")
# Apple Mail's privacy protection fetches every image in advance and says no more than this.
PREFETCHING = "Mozilla/5.0"
# Scanners of mail gateways that the list of crawlers does not know, in lower case.
SCANNERS = ("barracuda", "mimecast", "proofpoint", "messagelabs", "symantec", "trendmicro", "fortimail", "safelinks")


def is_machine(user_agent: str) -> bool:
    """Whether a program that nobody looks at sent this user agent."""
    if any(proxy in user_agent for proxy in PROXIES):
        return False
    named = user_agent.lower()
    unnamed = named.strip() in ("", PREFETCHING.lower())
    return unnamed or any(scanner in named for scanner in SCANNERS) or bool(is_crawler(user_agent))
