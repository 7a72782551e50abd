"""How network servers wrap an uplink: ChirpStack v4 and v3, The Things Stack v3.

References
----------
ChirpStack v4 documentation, integrations, event types; The Things Stack, data formats, uplink.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

__all__ = ["Uplink", "chirpstack_v3", "chirpstack_v4", "things_stack_v3"]


@dataclass(frozen=True)
class Uplink:
    """One LoRaWAN uplink as the network server received it.

    Attributes
    ----------
    dev_eui : str
        Sixteen hexadecimal digits.
    profile : str
        Name of the device profile; receivers choose the codec by it.
    time_ms : int
        When the gateway heard it, by the gateway's own clock [ms, UTC].
    arrived_ms : int
        When it came to the network server: later where the gateway had lost its link and kept the
        frame. ChirpStack tells the gateway's time as the uplink's; The Things Stack its own.
    """

    dev_eui: str
    name: str
    profile: str
    port: int
    counter: int
    payload: bytes
    time_ms: int
    gateway: str = "0016c001f0000001"
    rssi_dbm: int = -97
    snr_db: float = 6.5
    arrived_ms: int = 0

    @property
    def heard(self) -> str:
        """The gateway's time."""
        return stamp(self.time_ms)

    @property
    def arrived(self) -> str:
        """The network server's time."""
        return stamp(max(self.arrived_ms, self.time_ms))


def stamp(time_ms: int) -> str:
    """A time with nanoseconds, as network servers write it."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}000000Z"


dumped = msgspec.json.Encoder().encode


def base64_text(payload: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(payload).decode("ascii")


def chirpstack_v4(uplink: Uplink, application: str = "ljusvakt") -> tuple[str, bytes]:
    """Topic and message of an `up` event; zeros are left out, as protobuf's JSON does."""
    message: dict[str, object] = {
        "deduplicationId": f"{uplink.dev_eui}-{uplink.counter}",
        "time": uplink.heard,
        "deviceInfo": {
            "tenantName": "ChirpStack",
            "applicationName": application,
            "deviceProfileName": uplink.profile,
            "deviceName": uplink.name,
            "devEui": uplink.dev_eui.lower(),
        },
        "devAddr": uplink.dev_eui[-8:].lower(),
        "dr": 5,
        "fPort": uplink.port,
        "data": base64_text(uplink.payload),
        "rxInfo": [
            {
                "gatewayId": uplink.gateway,
                "gwTime": uplink.heard,
                "nsTime": uplink.arrived,
                "rssi": uplink.rssi_dbm,
                "snr": uplink.snr_db,
            }
        ],
    }
    if uplink.counter:
        message["fCnt"] = uplink.counter
    return f"application/{application}/device/{uplink.dev_eui.lower()}/event/up", dumped(message)


def chirpstack_v3(uplink: Uplink, application: str = "1") -> tuple[str, bytes]:
    """Topic and message of an uplink, with the EUI in hexadecimal."""
    message: dict[str, object] = {
        "applicationID": application,
        "applicationName": "ljusvakt",
        "deviceName": uplink.name,
        "deviceProfileName": uplink.profile,
        "devEUI": uplink.dev_eui.lower(),
        "rxInfo": [
            {
                "gatewayID": uplink.gateway,
                "time": uplink.heard,
                "rssi": uplink.rssi_dbm,
                "loRaSNR": uplink.snr_db,
            }
        ],
        "txInfo": {"frequency": 868_100_000, "dr": 5},
        "adr": True,
        "fCnt": uplink.counter,
        "fPort": uplink.port,
        "data": base64_text(uplink.payload),
    }
    return f"application/{application}/device/{uplink.dev_eui.lower()}/event/up", dumped(message)


def things_stack_v3(uplink: Uplink, application: str = "ljusvakt") -> tuple[str, bytes]:
    """Topic and message of an uplink."""
    device = f"eui-{uplink.dev_eui.lower()}"
    message: dict[str, object] = {
        "end_device_ids": {
            "device_id": device,
            "application_ids": {"application_id": application},
            "dev_eui": uplink.dev_eui.upper(),
        },
        "received_at": uplink.arrived,
        "uplink_message": {
            "f_cnt": uplink.counter,
            "f_port": uplink.port,
            "frm_payload": base64_text(uplink.payload),
            "rx_metadata": [
                {
                    "gateway_ids": {"gateway_id": uplink.gateway},
                    "time": uplink.heard,
                    "received_at": uplink.arrived,
                    "rssi": uplink.rssi_dbm,
                    "snr": uplink.snr_db,
                }
            ],
            "version_ids": {
                "brand_id": uplink.profile.split(" ")[0].lower(),
                "model_id": uplink.profile,
            },
            "received_at": uplink.arrived,
        },
    }
    return f"v3/{application}@ttn/devices/{device}/up", dumped(message)
