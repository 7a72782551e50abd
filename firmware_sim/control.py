"""Setting a fault into a running demo from outside, over its broker."""

import asyncio
import json
import uuid
from typing import Any, cast

import aiomqtt

from firmware_sim.errors import PublishError
from firmware_sim.live import ANSWER_TOPIC, CONTROL_TOPIC
from firmware_sim.publishing import BrokerAddress

__all__ = ["ask_demo"]


async def ask_demo(
    address: BrokerAddress, wanted: dict[str, object], *, timeout_s: float = 15.0
) -> dict[str, Any]:
    """Send one control message and wait for its answer.

    Raises
    ------
    PublishError
        If nobody answers.
    """
    mark = uuid.uuid4().hex
    try:
        async with address.client(f"ljusvakt-control-{mark}") as client:
            await client.subscribe(ANSWER_TOPIC, qos=1)
            await client.publish(CONTROL_TOPIC, json.dumps({**wanted, "id": mark}), qos=1)
            async with asyncio.timeout(timeout_s):
                async for message in client.messages:
                    answer = json.loads(message.payload)
                    if answer.get("id") == mark:
                        return cast("dict[str, Any]", answer)
    except aiomqtt.MqttError as error:
        raise PublishError(
            f"the demo's broker {address.host}:{address.port} cannot be reached: {error}.",
            remedy="Is the demo running?",
        ) from error
    except TimeoutError as error:
        raise PublishError(
            "no simulated city answered.", remedy="Is the demo running with live devices?"
        ) from error
    raise PublishError("the demo's broker closed the connection.")
