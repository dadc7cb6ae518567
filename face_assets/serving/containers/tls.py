"""Certificate of the gateway: one PEM file with chain and key, validated before HAProxy gets it."""

from pathlib import Path

from face_assets.core.errors import UserError

SETTING = "FACE_ASSETS_GATEWAY_CERTIFICATE"


def read_certificate(file: Path | None) -> bytes | None:
    """Returns the file's bytes, None without one. Raises UserError where it does not contain a certificate with its key."""
    if file is None:
        return None
    import ssl

    if not file.is_file():
        raise UserError(f"{SETTING}: {file} is no file; set a PEM file with the certificate, its chain and its key.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UserError(f"{SETTING}: {file} must contain a certificate and its key, without a password, in PEM: {error}") from error
    return file.read_bytes()
