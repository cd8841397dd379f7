"""WebAuthn's two ceremonies: an authenticator makes a passkey, and proves later that it has the private key.

py_webauthn writes the options for the browser, and verifies the responses. See
https://www.w3.org/TR/webauthn-3/#sctn-rp-operations.
"""

from dataclasses import dataclass
from typing import Any

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import options_to_json_dict, parse_client_data_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from contracts.api import NewCredential, UsedCredential
from kit.relying_party import RelyingParty
from services.auth.challenges import LIFETIME
from services.auth.documents import Passkey, User
from services.auth.rules import InvalidPasskey, PasskeyRefused

NAME = "Stagedoor"

ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,  # Windows Hello
]

TIMEOUT = int(LIFETIME.total_seconds() * 1000)

_TRANSPORTS = {transport.value for transport in AuthenticatorTransport}


@dataclass(frozen=True)
class MadePasskey:
    """What an authenticator has made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]


def creation_options(party: RelyingParty, user: User, challenge: bytes) -> dict[str, Any]:
    """The options to make a passkey, which the authenticator stores with the user's id and address."""
    options = generate_registration_options(
        rp_id=party.id,
        rp_name=NAME,
        user_id=user_handle(user),
        user_name=user.email,
        user_display_name=user.email,
        challenge=challenge,
        timeout=TIMEOUT,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[_descriptor(passkey) for passkey in user.passkeys],
        supported_pub_key_algs=ALGORITHMS,
    )
    return options_to_json_dict(options)


def request_options(party: RelyingParty, challenge: bytes) -> dict[str, Any]:
    """The options to use any passkey of this site."""
    options = generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=TIMEOUT,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def user_handle(user: User) -> bytes:
    assert user.id is not None
    return user.id.binary


def challenge_in(client_data_json: str) -> bytes | None:
    """The challenge that a response answers. None if it is malformed, or a page in a frame asked for it."""
    try:
        client_data = parse_client_data_json(base64url_to_bytes(client_data_json))
    except Exception:  # the library raises many kinds for malformed input
        return None
    return None if client_data.cross_origin else client_data.challenge


def verify_made(party: RelyingParty, credential: NewCredential, challenge: bytes) -> MadePasskey:
    """The passkey that an authenticator has made after it verified its user.

    Raises:
        PasskeyRefused
    """
    try:
        verified = verify_registration_response(
            credential=_with_type(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
    except Exception as error:  # the library raises many kinds for malformed input
        raise PasskeyRefused from error
    transports = sorted(_TRANSPORTS.intersection(credential.response.transports))
    return MadePasskey(
        verified.credential_id, verified.credential_public_key, verified.sign_count, transports
    )


def verify_used(
    party: RelyingParty, credential: UsedCredential, challenge: bytes, user: User, passkey: Passkey
) -> int:
    """Check that an authenticator has signed with the passkey after it verified its user.

    Returns how often the authenticator has signed, which isn't compared with earlier uses.

    Raises:
        InvalidPasskey
    """
    try:
        if base64url_to_bytes(credential.response.user_handle) != user_handle(user):
            raise InvalidPasskey
        verified = verify_authentication_response(
            credential=_with_type(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:  # the library raises many kinds for malformed input
        raise InvalidPasskey from error
    return verified.new_sign_count


def _with_type(credential: NewCredential | UsedCredential) -> dict[str, Any]:
    """The credential with the fields that the library reads, but which say nothing new."""
    fields = credential.model_dump(by_alias=True)
    return {**fields, "rawId": credential.id, "type": "public-key"}


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(each) for each in passkey.transports]
    return PublicKeyCredentialDescriptor(id=passkey.credential_id, transports=transports)
