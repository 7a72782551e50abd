"""What becomes of messages: read, judged, known as repeats, and put into a batch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.batch import BadMessage, Batch
from ingest.devices import Registry
from ingest.errors import MalformedPayloadError, Reason, RefusedContentError
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.log import Log
from ingest.plausibility import Clocks, judge
from ingest.reading import Decoded, Flag, Series
from ingest.receipts import Seen, seen_of
from ingest.settings import CollectorSettings
from ingest.sources import Message
from ingest.wire import decode, quick

__all__ = ["FEW_MESSAGES", "Intake"]

log = Log("ingest.collector")

WITHDRAWN = int(Flag.WITHDRAWN)
MAX_SUSPECTS = 10_000
FEW_MESSAGES = 16  # below, one by one is as quick


@dataclass(slots=True)
class Intake:
    """Turns messages into batches; lives in the journal's thread.

    Parameters
    ----------
    journal : Journal
    registry : Registry
        Which devices exist; may be exchanged between batches.
    settings : CollectorSettings
    liveness : Liveness
    """

    journal: Journal
    registry: Registry
    settings: CollectorSettings
    liveness: Liveness
    clocks: Clocks = field(default_factory=Clocks)
    topics: quick.Topics = field(default_factory=quick.Topics)
    due: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    suspects: Counter[str] = field(default_factory=Counter[str])

    def read(self, messages: Sequence[Message], received_ms: Sequence[int]) -> Batch:
        """Decode and judge messages into a batch; never raises for what is in them."""
        batch = Batch()
        batch.counts["messages"] += len(messages)
        rest: Sequence[int] = range(len(messages))
        if len(messages) >= FEW_MESSAGES:
            rest = self._read_at_once(batch, messages, received_ms)
        for number in rest:
            topic, payload, qos, retain, _ = messages[number]
            self.take(batch, topic, payload, received_ms[number], qos, retain)
        return batch

    def _read_at_once(
        self, batch: Batch, messages: Sequence[Message], received_ms: Sequence[int]
    ) -> Sequence[int]:
        """Put the messages without anything remarkable into a batch.

        Returns
        -------
        sequence of int
            Which messages are left to `take`: of each device all or none, so that these being later
            changes nothing.
        """
        names, payloads, qos, retain, _ = zip(*messages, strict=True)
        aside: list[int] = []
        if not all(qos) or any(retain):
            aside = [n for n, message in enumerate(messages) if not message[2] or message[3]]
        at_ms = np.array(received_ms, np.int64)
        try:
            plain = quick.read(
                names, payloads, at_ms, self.registry, self.clocks, self.topics, aside
            )
        except Exception:
            # A bug again: nothing was noted yet, and one by one it costs one message.
            log.exception("messages could not be read at once", messages=len(messages))
            return range(len(messages))
        keep = self._number_all(batch, plain, names)
        for block in plain.by_quantity(at_ms, keep):
            batch.add_columns(
                block.quantity,
                block.device_ids,
                block.device,
                block.time_ms,
                block.value,
                block.received_ms,
                block.flags,
            )
        message, device_ids = plain.message, plain.device_ids
        if keep is not None:
            message, device_ids = message[keep], list(compress(device_ids, keep.tolist()))
            batch.add_duplicate(int(plain.count[~keep].sum()))
        self.liveness.last_ms.update(zip(device_ids, at_ms[message].tolist(), strict=True))
        return plain.rest

    def _number_all(
        self, batch: Batch, plain: quick.Plain, names: Sequence[str]
    ) -> npt.NDArray[np.bool_] | None:
        """Note that the rows of these messages are here, as `_number` does.

        Returns
        -------
        bool (m,) or None
            False for each message that was here before; None if none was.
        """
        at, numbered = plain.numbered()
        if not at:
            return None
        if self.settings.receipts_s:
            messages: list[int] = plain.message[at].tolist()
            boots = zip(numbered.device_id, numbered.boot, strict=True)
            self.due.update(zip([names[one] for one in messages], boots, strict=True))
        missing = self.journal.receipts.note_all(numbered)
        found = [change for change in missing if change]
        batch.counts["sequence_missing"] += sum(change for change in found if change > 0)
        batch.counts["sequence_filled"] -= sum(change for change in found if change < 0)
        if None not in missing:
            batch.sequences.extend(numbered)
            return None
        new = [change is not None for change in missing]
        batch.sequences.extend(numbered.chosen(new))
        keep = np.ones(len(plain.message), np.bool_)
        keep[at] = new
        return keep

    def take(
        self,
        batch: Batch,
        topic: str,
        payload: bytes,
        received_ms: int,
        qos: int = 1,
        retain: bool = False,
        *,
        again: bool = False,
    ) -> None:
        """Put one message into a batch: its readings, or itself for the quarantine.

        Parameters
        ----------
        again : bool
            It comes out of the quarantine: its numbers were noted when it went in, and are no sign
            of a repeat.
        """
        if topic.endswith("/ack") and topic.startswith("ljusvakt/"):
            return  # our own receipt: MQTT 3.1.1 sends it back to us
        decoded = None
        try:
            decoded = decode(topic, payload, self.registry)
            if retain and self._stale(decoded, received_ms):
                batch.counts["retained_ignored"] += 1
                return
            if not qos:
                batch.counts["qos0"] += 1
            self._keep(batch, topic, decoded, received_ms, qos, again)
        except MalformedPayloadError as error:
            readings = max(1, _readings(decoded)) if decoded is not None else 1
            batch.add_bad(
                BadMessage(received_ms, topic, payload, error.reason, error.detail, readings)
            )
            if error.reason is Reason.IDENTITY_MISMATCH:
                self._suspect(batch, error.device_id or topic)
        except RefusedContentError as error:
            batch.add_refused()
            log.warning("message refused", field=error.field, reason=Reason.PERSONAL_DATA)
        except Exception as error:
            # A bug costs one message, which is kept, never the collector.
            log.exception("message could not be handled", topic=topic[:200])
            detail = f"{type(error).__name__} while it was handled"
            batch.add_bad(BadMessage(received_ms, topic, payload, Reason.DECODER_ERROR, detail))

    def admit(self, batch: Batch, decoded: Decoded, received_ms: int) -> None:
        """Put into a batch what was decoded elsewhere: of one device.

        Raises
        ------
        MalformedPayloadError
            `range` or `time`; nothing of it is then in the batch.
        """
        self._keep(batch, "", decoded, received_ms, 1, again=False)

    def put_aside(self, messages: Sequence[Message], received_ms: Sequence[int]) -> Batch:
        """A batch that puts all of these into the quarantine."""
        self.journal.frames.written()  # what they said of frames heard is not to be kept
        batch = Batch()
        batch.counts["messages"] += len(messages)
        for (topic, payload, *_), at_ms in zip(messages, received_ms, strict=True):
            detail = "could not be committed"
            batch.add_bad(BadMessage(at_ms, topic, payload, Reason.DECODER_ERROR, detail))
        return batch

    def _keep(
        self,
        batch: Batch,
        topic: str,
        decoded: Decoded,
        received_ms: int,
        qos: int,
        again: bool,
    ) -> None:
        # Repeats are known by the message's own times, before judgement moves any.
        repeat = False
        if decoded.sequence is not None:
            seen = _seen(decoded)
            if self.settings.receipts_s:
                # Due for a repeat, too: the device may not have got the first one.
                self.due[topic] = (seen.device_id, seen.boot)
            repeat = not self._number(batch, seen, again)
        judge(
            decoded,
            received_ms=received_ms,
            registry=self.registry,
            clocks=self.clocks,
            qos=qos,
        )
        if decoded.skipped:
            batch.counts["skipped"] += decoded.skipped
        if repeat:
            batch.add_duplicate(_readings(decoded))
        elif decoded.frame is not None:
            self._keep_frame(batch, decoded, received_ms)
        else:
            self._put(batch, decoded, received_ms)

    def _number(self, batch: Batch, seen: Seen, again: bool) -> bool:
        """Note that these rows are here: kept or in quarantine, they are durable.

        Returns
        -------
        bool
            False if they were here before.
        """
        receipts = self.journal.receipts
        missing = receipts.add(seen) if again else receipts.note(seen)
        if missing is None:
            return False
        batch.sequences.append(seen)
        if missing > 0:
            batch.counts["sequence_missing"] += missing
        elif missing < 0:
            batch.counts["sequence_filled"] -= missing
        return True

    def _keep_frame(self, batch: Batch, decoded: Decoded, received_ms: int) -> None:
        frame = decoded.frame
        assert frame is not None  # noqa: S101 - the caller has looked
        heard_ms = received_ms if decoded.network_ms is None else decoded.network_ms
        first = decoded.series[0].time_ms[0] if _has_times(decoded) else None
        if first is None and decoded.events:
            first = decoded.events[0].time_ms
        verdict = self.journal.frames.hear(frame, heard_ms, first)
        if first is not None:
            for at_ms in verdict.withdraw_at:
                self._withdraw(batch, decoded, at_ms - first, received_ms)
        if verdict.repeat:
            batch.counts["frames_again"] += 1
            batch.add_duplicate(_readings(decoded))
            self.liveness.last_ms[frame.device_id] = received_ms
        else:
            self._put(batch, decoded, received_ms)

    def _withdraw(self, batch: Batch, decoded: Decoded, shift_ms: int, received_ms: int) -> None:
        """Take back what a later copy of the same frame put at a later time."""
        for series in decoded.series:
            times = [time_ms + shift_ms for time_ms in series.time_ms]
            flags = (
                series.flags | WITHDRAWN
                if isinstance(series.flags, int)
                else [flag | WITHDRAWN for flag in series.flags]
            )
            batch.withdraw(
                series.device_id, series.quantity, times, series.value, flags, received_ms
            )
        for event in decoded.events:
            batch.withdraw_event(
                msgspec.structs.replace(
                    event, time_ms=event.time_ms + shift_ms, flags=event.flags | WITHDRAWN
                ),
                received_ms,
            )

    def _put(self, batch: Batch, decoded: Decoded, received_ms: int) -> None:
        last_ms = self.liveness.last_ms
        for series in decoded.series:
            device_id = series.device_id
            last_ms[device_id] = received_ms
            batch.add(
                device_id, series.quantity, series.time_ms, series.value, series.flags, received_ms
            )
        for event in decoded.events:
            last_ms[event.device_id] = received_ms
            batch.add_event(event, received_ms)

    def _stale(self, decoded: Decoded, received_ms: int) -> bool:
        """Whether a retained message is older than is wanted, or of no known age."""
        times = [time_ms for series in decoded.series for time_ms in series.time_ms]
        times += [event.time_ms for event in decoded.events]
        if decoded.network_ms is not None:
            times.append(decoded.network_ms)
        return received_ms - max(times, default=0) > self.settings.retained_max_age_s * 1000

    def _suspect(self, batch: Batch, device_id: str) -> None:
        """Count an identity mismatch; several of one device are a security event."""
        self.suspects[device_id] += 1
        if self.suspects[device_id] == self.settings.identity_alarms:
            batch.counts["security_events"] += 1
            log.error(
                "identity mismatches",
                event_kind="security",
                device_id=device_id,
                messages=self.suspects[device_id],
            )
        if len(self.suspects) > MAX_SUSPECTS:
            del self.suspects[next(iter(self.suspects))]

    def receipts(self) -> list[tuple[str, bytes]]:
        """Topics and payloads of the receipts that are due; call only when all is committed."""
        due, self.due = self.due, {}
        told: dict[str, bytes] = {}
        for topic, (device_id, boot) in due.items():
            receipt = self.journal.receipts.receipt(device_id, boot)
            if receipt is not None:
                told[topic.rpartition("/")[0] + "/ack"] = (
                    b'{"boot":%d,"seq":%d}' % (receipt.boot, receipt.seq)
                )  # fmt: skip
        return list(told.items())


def _readings(decoded: Decoded) -> int:
    return sum([len(series.time_ms) for series in decoded.series]) + len(decoded.events)


def _has_times(decoded: Decoded) -> bool:
    return bool(decoded.series) and bool(decoded.series[0].time_ms)


def _seen(decoded: Decoded) -> Seen:
    assert decoded.sequence is not None  # noqa: S101 - the caller has looked
    series: list[Series] = decoded.series
    if len(series) == 1 and not decoded.events:
        return seen_of(decoded.sequence, series[0].time_ms)
    times = [time_ms for one in series for time_ms in one.time_ms]
    times += [event.time_ms for event in decoded.events]
    return seen_of(decoded.sequence, times)
