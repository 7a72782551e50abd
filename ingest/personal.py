"""What must not be kept: identifiers of people, their devices and their vehicles."""

import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from ingest.errors import RefusedContentError

__all__ = ["MOST_FIELDS", "is_mac", "refuse_personal", "refuse_personal_bytes", "suspicious"]

# Names, split into words. `mac` alone or with one of these is somebody's network card; The Things
# Stack's `mac_settings` and `mac_version` are not.
_NAMES: Final = frozenset(
    {
        "mac", "macaddress", "macaddr", "machash", "macid", "hashedmac", "bssid", "imei", "imeisv",
        "imsi", "msisdn", "tmsi", "iccid", "licenseplate", "licenceplate", "numberplate",
        "platenumber", "plate", "plates", "licenseplatenumber", "licenceplatenumber",
        "registrationnumber", "registrationplate", "vehicleregistration", "regnr", "regnummer",
        "registreringsnummer", "nummerplat", "nummerplåt", "kennzeichen", "vin", "phonenumber",
        "personnummer",
    }
)  # fmt: skip
_MAC_WORDS: Final = frozenset(
    {"wifi", "ble", "bt", "bluetooth", "phone", "mobile", "station", "sta", "client", "device",
     "source", "src", "probe", "address", "addr", "hash", "hashed", "list", "id", "ids", "s"}
)  # fmt: skip
# What network servers themselves put round every message: identities of devices and gateways.
_ENVELOPE: Final = frozenset(
    {
        "deveui", "joineui", "appeui", "eui", "devaddr", "gatewayid", "gatewayids", "gatewayeui",
        "uplinkid", "downlinkid", "deduplicationid", "tenantid", "applicationid", "tags",
        "deviceprofileid", "devicename", "applicationname", "deviceprofilename", "tenantname",
        "sessionkeyid", "correlationids", "deviceid", "data", "frmpayload", "context", "payload",
        "rawpacket", "queueitemid", "name", "id", "time", "timestamp", "finetimestamp",
        "receivedat", "reportedat", "publishedat", "frequency", "regionconfigid",
    }
)  # fmt: skip
_WORD: Final = re.compile(r"[A-ZÅÄÖ]+(?![a-zåäö])|[A-ZÅÄÖ]?[a-zåäö]+|\d+")
_MAC: Final = re.compile(
    r"(?<![0-9A-Fa-f:-])(?:"
    r"[0-9A-Fa-f]{2}(?P<sep>[:-])(?:[0-9A-Fa-f]{2}(?P=sep)){4}[0-9A-Fa-f]{2}"
    r"|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![0-9A-Fa-f:-])"
)
_FIFTEEN: Final = re.compile(r"(?<![0-9A-Za-z.])[0-9]{15}(?![0-9A-Za-z.])")
# Swedish, and the commonest elsewhere in the Nordic countries: three letters and three signs.
_PLATE: Final = re.compile(r"[A-ZÅÄÖ]{3}[ -]?[0-9]{2}[0-9A-Z]")
# What a message must hold some of to hold any of the above; most hold none and are done here.
# Plain searches through bytes whose digits and letters have been made alike: regular expressions
# would take twenty times as long for 64 KiB.
_WORDS: Final = (
    *(b"mac", b"bssid", b"imei", b"imsi", b"msisdn", b"tmsi", b"iccid", b"plat", "plåt".encode()),
    *(b"regn", b"registr", b"kennz", b'vin"', b"phone", b"personn", b"\\u"),
)
_HEX_ALIKE: Final = bytes(ord("h") if chr(n) in "0123456789abcdef" else n for n in range(256))
_MAC_SHAPES: Final = (b":hh:hh:", b"-hh-hh-", b".hhhh.hhhh")
_SIGN_ALIKE: Final = bytes(
    ord("0") if n in b"0123456789" else ord("a") if bytes([n]).isalpha() or n > 127 else n
    for n in range(256)
)
_SIGN_SHAPES: Final = (
    *(b"0" * 15, b'aaa000"', b'aaa00a"', b'aaa 000"', b'aaa 00a"', b'aaa-000"', b'aaa-00a"'),
)
MOST_FIELDS: Final = 1500


def is_mac(text: str) -> bool:
    """Whether a text is a MAC address and nothing else."""
    return _MAC.fullmatch(text) is not None


def suspicious(payload: bytes) -> bool:
    """Whether a message is worth a closer look; most are not."""
    low = payload.lower()
    if any(word in low for word in _WORDS):
        return True
    alike = low.translate(_SIGN_ALIKE)
    if any(shape in alike for shape in _SIGN_SHAPES):
        return True
    alike = low.translate(_HEX_ALIKE)
    return any(shape in alike for shape in _MAC_SHAPES)


def refuse_personal_bytes(payload: bytes) -> None:
    """Refuse a JSON message that holds an identifier of a person; anything else passes.

    Raises
    ------
    RefusedContentError
        Naming the field, never its value.
    """
    if not suspicious(payload):
        return
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if found := _MAC.search(payload.decode("latin-1")):
            raise RefusedContentError(f"byte {found.start()}") from None
        return
    refuse_personal(content)


def refuse_personal(content: Any) -> None:
    """Refuse decoded content that holds an identifier of a person, at any depth.

    Parameters
    ----------
    content : object
        Dictionaries, lists, text and numbers, as JSON decodes them.

    Raises
    ------
    RefusedContentError
        Naming the field, never its value; also for content of more fields than can be looked at.
    """
    stack: list[tuple[str, Any, bool]] = [("", content, False)]
    looked = 0
    while stack:
        name, value, in_tags = stack.pop()
        looked += 1
        if looked > MOST_FIELDS:
            raise RefusedContentError(f"more than {MOST_FIELDS} fields")
        if isinstance(value, dict):
            if len(value) > MOST_FIELDS:
                raise RefusedContentError(f"more than {MOST_FIELDS} fields")
            for key, below in value.items():
                text = str(key)
                if below not in (None, "", 0, False) and _personal_name(text):
                    raise RefusedContentError(text[:80])
                stack.append((text, below, in_tags or text == "tags"))
        elif isinstance(value, list):
            stack.extend((name, below, in_tags) for below in value)
        elif type(value) in {str, int} and _personal_value(name, str(value), in_tags=in_tags):
            raise RefusedContentError(name[:80])


@lru_cache(maxsize=4096)
def _personal_name(name: str) -> bool:
    words = [word.casefold() for word in _WORD.findall(name)]
    joined = "".join(words)
    if joined in _NAMES:
        return True
    if "mac" in words or "macs" in words:
        return all(word in _MAC_WORDS or word in {"mac", "macs"} for word in words)
    return any(word in {"imei", "imsi", "msisdn", "bssid", "plate"} for word in words)


def _personal_value(name: str, text: str, *, in_tags: bool) -> bool:
    if "".join(_WORD.findall(name)).casefold() in _ENVELOPE:
        return False
    if _MAC.search(text) or _FIFTEEN.search(text):
        return True
    # An operator's own tags may well name a column "HBG123".
    return not in_tags and bool(_PLATE.fullmatch(text))
