"""An authenticator in software: it makes passkeys and signs with them, and can be told to misbehave."""

import base64
import json
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import encode_cbor

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
EC2, ES256, P256 = 2, -7, 1
"""Key type, algorithm and curve of RFC 9053."""


def encoded(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


@dataclass
class Credential:
    """A passkey with its private key."""

    id: bytes
    user_handle: bytes
    key: EllipticCurvePrivateKey
    sign_count: int = 0


@dataclass
class Authenticator:
    """Makes credentials for pages at `origin`. It counts signatures if `counts` is set."""

    origin: str = "http://localhost:3500"
    counts: bool = False
    verifies: bool = True
    """Whether it asks for a fingerprint or the like."""
    credentials: list[Credential] = field(default_factory=list)

    def create(self, options: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """What `navigator.credentials.create()` returns, as JSON.

        Args:
            changed: other fields of clientDataJSON.
        """
        credential = Credential(
            secrets.token_bytes(32), decoded(options["user"]["id"]), generate_private_key(SECP256R1())
        )
        self.credentials.append(credential)
        numbers = credential.key.public_key().public_numbers()
        key = {
            1: EC2,
            3: ES256,
            -1: P256,
            -2: numbers.x.to_bytes(32, "big"),
            -3: numbers.y.to_bytes(32, "big"),
        }
        attested = bytes(16) + len(credential.id).to_bytes(2, "big") + credential.id + encode_cbor(key)
        data = self._data(options["rp"]["id"], credential, ATTESTED) + attested
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        return {
            "id": encoded(credential.id),
            "rawId": encoded(credential.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(self._client_data("webauthn.create", options, changed)),
                "attestationObject": encoded(attestation),
                "transports": ["internal", "something-new"],
            },
        }

    def get(
        self, options: dict[str, Any], credential: Credential | None = None, **changed: Any
    ) -> dict[str, Any]:
        """What `navigator.credentials.get()` returns, as JSON. Without a credential, the newest one signs."""
        credential = credential or self.credentials[-1]
        credential.sign_count += self.counts
        client_data = self._client_data("webauthn.get", options, changed)
        data = self._data(options["rpId"], credential)
        signature = credential.key.sign(data + sha256(client_data).digest(), ECDSA(SHA256()))
        return {
            "id": encoded(credential.id),
            "rawId": encoded(credential.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(client_data),
                "authenticatorData": encoded(data),
                "signature": encoded(signature),
                "userHandle": encoded(credential.user_handle),
            },
        }

    def _client_data(self, kind: str, options: dict[str, Any], changed: dict[str, Any]) -> bytes:
        fields = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": False,
        }
        return json.dumps({**fields, **changed}).encode()

    def _data(self, rp_id: str, credential: Credential, flags: int = 0) -> bytes:
        flags |= PRESENT | (VERIFIED if self.verifies else 0)
        return sha256(rp_id.encode()).digest() + bytes([flags]) + credential.sign_count.to_bytes(4, "big")
