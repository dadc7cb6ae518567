"""Addresses of the web service's pages that other parts of the platform link to."""

from urllib.parse import urlencode

HOW_TO_START = "pictures of faces are on pages of the web service, which `face-assets up` starts"


def sheets_page(service: str, asset: str, commit: str, sheet: str) -> str:
    """Address of the page with an asset's contact sheets for a commit, at one of them. service: address of the web service."""
    return f"{service}/faces?{urlencode({'asset': asset, 'commit': commit})}#{sheet}"
