import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_elliptic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import SecretStr

from services.auth.keys import private_key, verification_keys
from settings import Settings


def pem_of(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def configured(data_dir: Path, pem: str | None = None) -> Settings:
    given = None if pem is None else SecretStr(pem)
    return Settings(_env_file=None, data_dir=data_dir, session_private_key=given)


def stored_in(data_dir: Path) -> Path:
    return data_dir / "auth" / "session-key.pem"


def test_a_key_is_generated_on_first_use_and_stored(tmp_path: Path) -> None:
    first = private_key(configured(tmp_path))
    assert pem_of(private_key(configured(tmp_path))) == pem_of(first)
    assert stored_in(tmp_path).read_text() == pem_of(first)


def test_two_installations_have_different_keys(tmp_path: Path) -> None:
    assert pem_of(private_key(configured(tmp_path / "one"))) != pem_of(
        private_key(configured(tmp_path / "other"))
    )


def test_only_the_owner_of_the_file_can_read_the_key(tmp_path: Path) -> None:
    private_key(configured(tmp_path))
    assert stat.S_IMODE(stored_in(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(stored_in(tmp_path).parent.stat().st_mode) == 0o700


def test_instances_that_start_concurrently_agree_on_one_key(tmp_path: Path) -> None:
    instances = 8
    start = threading.Barrier(instances, timeout=60)

    def key() -> str:
        start.wait()
        return pem_of(private_key(configured(tmp_path)))

    with ThreadPoolExecutor(instances) as threads:
        keys = [threads.submit(key) for _ in range(instances)]
    assert len({made.result() for made in keys}) == 1
    assert [path.name for path in stored_in(tmp_path).parent.iterdir()] == ["session-key.pem"]


def test_an_instance_uses_the_key_that_another_instance_stored_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other instance stores its key after this instance looked for a key and found none."""
    stored = pem_of(Ed25519PrivateKey.generate())
    path_exists = Path.exists

    def exists(path: Path) -> bool:
        found = path_exists(path)
        if path == stored_in(tmp_path) and not found:
            path.parent.mkdir(parents=True)
            path.write_text(stored)
        return found

    monkeypatch.setattr(Path, "exists", exists)
    assert pem_of(private_key(configured(tmp_path))) == stored


@pytest.mark.parametrize("line_break", ["\n", "\\n"])
def test_a_configured_key_is_used_and_not_stored(tmp_path: Path, line_break: str) -> None:
    """In an environment file, a value is on one line, with `\\n` for a line break."""
    pem = pem_of(Ed25519PrivateKey.generate())
    key = private_key(configured(tmp_path, pem.replace("\n", line_break)))
    assert pem_of(key) == pem
    assert list(tmp_path.iterdir()) == []


def bad_pems() -> dict[str, str]:
    elliptic = generate_elliptic(SECP256R1())
    ours = Ed25519PrivateKey.generate()
    return {
        "not PEM": "secret",
        "empty PEM": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "truncated": pem_of(ours)[:60],
        "encrypted": ours.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")
        ).decode(),
        "elliptic-curve key": elliptic.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode(),
        "public key": ours.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    }


@pytest.mark.parametrize("pem", bad_pems().values(), ids=list(bad_pems()))
def test_a_value_that_is_not_an_ed25519_private_key_is_refused(tmp_path: Path, pem: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        private_key(configured(tmp_path, pem))
    assert pem not in str(refused.value)


def test_a_damaged_stored_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    private_key(configured(tmp_path))
    stored_in(tmp_path).write_text("half a key")
    with pytest.raises(ValueError, match=r"."):
        private_key(configured(tmp_path))
    assert stored_in(tmp_path).read_text() == "half a key"


def public_pem(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def verifying(text: str) -> Settings:
    return Settings(_env_file=None, session_verification_keys=text)


@pytest.mark.parametrize("line_break", ["\n", "\\n"])
def test_several_verification_keys_may_be_configured(line_break: str) -> None:
    pems = [public_pem(Ed25519PrivateKey.generate()) for _ in range(2)]
    keys = verification_keys(verifying("".join(pems).replace("\n", line_break)))
    read = [key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in keys]
    assert read == pems


def test_there_are_no_verification_keys_by_default(tmp_path: Path) -> None:
    assert verification_keys(configured(tmp_path)) == []


OTHER_THAN_PUBLIC = {
    "text": "secret",
    "text after a key": public_pem(Ed25519PrivateKey.generate()) + "secret",
    "private key": pem_of(Ed25519PrivateKey.generate()),
    "elliptic-curve key": generate_elliptic(SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode(),
}


@pytest.mark.parametrize("text", OTHER_THAN_PUBLIC.values(), ids=list(OTHER_THAN_PUBLIC))
def test_a_verification_key_that_is_not_an_ed25519_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SESSION_VERIFICATION_KEYS contains") as refused:
        verification_keys(verifying(text))
    assert text not in str(refused.value)
