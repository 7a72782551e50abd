"""Lists of revoked certificates: what cannot be used is named with the remedy, before anything."""

from pathlib import Path

import pytest
from contracts.authority import Authority
from cryptography.hazmat.primitives.serialization import Encoding

from ingest.errors import SettingsError
from ingest.settings import TlsSettings
from ingest.sources.tls import tls_context


def refused(authority: Authority, crl_file: Path) -> str:
    with pytest.raises(SettingsError) as told:
        tls_context(TlsSettings(ca_file=authority.file, crl_file=crl_file))
    return str(told.value).replace(str(crl_file), "LIST")


def test_a_list_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = tmp_path / "revoked.pem"
    assert refused(authority, path) == (
        "crl_file LIST cannot be read: No such file or directory; fetch the list from the "
        "authority that signs the broker's certificate, or leave broker.crl_file out"
    )
    no_list = (
        "crl_file LIST holds no list of revoked certificates in PEM; "
        "one in DER becomes one by: openssl crl -inform DER -in FILE -out FILE.pem"
    )
    for content in (b"", b"no list", authority.file.read_bytes()):
        path.write_bytes(content)
        assert refused(authority, path) == no_list
    assert refused(authority, authority.write_list(path, form=Encoding.DER)) == no_list


def test_a_list_does_not_smuggle_in_an_authority(tmp_path: Path) -> None:
    authority, nobody = Authority(tmp_path), Authority(tmp_path, "nobody")
    path = authority.write_list(tmp_path / "revoked.pem")
    context = tls_context(TlsSettings(ca_file=authority.file, crl_file=path))
    assert context.cert_store_stats() == {"x509": 1, "crl": 1, "x509_ca": 1}
    path.write_bytes(path.read_bytes() + nobody.file.read_bytes())
    assert refused(authority, path) == (
        "crl_file LIST holds certificates besides the list: put them into broker.ca_file"
    )
