"""Whether a server on the network answers."""

import time

TIMEOUT_SECONDS = 3.0


def reachable(url: str) -> str:
    """Why nothing answers at *url*; empty when something does, whatever it says. Proxies are used as set."""
    import requests

    began = time.monotonic()
    try:
        with requests.head(url, timeout=TIMEOUT_SECONDS, allow_redirects=False):
            return ""
    except requests.Timeout:
        return f"does not answer within {time.monotonic() - began:.0f} s"
    except requests.exceptions.SSLError:
        return "has a certificate that is not trusted"
    except requests.RequestException as problem:
        return f"can't be reached ({type(problem).__name__})"
