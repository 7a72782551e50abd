"""Messages in, readings in the journal, and only then the acknowledgement."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import structlog

from ingest.batch import BadMessage, Batch
from ingest.devices import Registry
from ingest.errors import (
    JournalError,
    JournalFullError,
    MalformedPayloadError,
    Reason,
    RefusedContentError,
    SettingsError,
)
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.plausibility import Clocks, judge
from ingest.reading import Decoded, Flag, Series
from ingest.receipts import Seen, seen_of
from ingest.settings import CollectorSettings
from ingest.sources import Message, Source, SourceStatus
from ingest.wire import decode, quick

__all__ = ["Collector", "Health", "Intake"]

log = structlog.get_logger("ingest.collector")

WITHDRAWN = int(Flag.WITHDRAWN)
MAX_SUSPECTS = 10_000
FEW_MESSAGES = 16  # below, one by one is as quick


@dataclass(frozen=True, slots=True)
class Health:
    """How the collector stands.

    Attributes
    ----------
    waiting : int
        Messages that have come and are not in the journal yet.
    journal_error : str
        Why the journal takes nothing at the moment; empty when it does.
    """

    source: SourceStatus
    waiting: int
    journal_error: str

    @property
    def degraded(self) -> bool:
        """Whether something keeps messages from arriving."""
        return bool(self.journal_error) or not self.source.connected


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
        message, topic = plain.message, plain.topic
        if keep is not None:
            message, topic = message[keep], topic[keep]
            batch.add_duplicate(int(plain.count[~keep].sum()))
        devices = [plain.routes[at].device for at in topic.tolist()]
        self.liveness.last_ms.update(zip(devices, at_ms[message].tolist(), strict=True))
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
        numbered = [at for at, boot in enumerate(plain.boot) if boot is not None]
        if not numbered:
            return None
        starts = np.cumsum(plain.count) - plain.count
        routes, topics = plain.routes, plain.topic.tolist()
        all_seen = list(
            map(
                Seen,
                [routes[topics[at]].device for at in numbered],
                [plain.boot[at] for at in numbered],
                [plain.seq[at] for at in numbered],
                plain.count[numbered].tolist(),
                np.minimum.reduceat(plain.time_ms, starts)[numbered].tolist(),
                np.maximum.reduceat(plain.time_ms, starts)[numbered].tolist(),
            )
        )
        if self.settings.receipts_s:
            messages = plain.message.tolist()
            for at, seen in zip(numbered, all_seen, strict=True):
                self.due[names[int(messages[at])]] = (seen.device_id, seen.boot)
        missing = self.journal.receipts.note_all(all_seen)
        found = [change for change in missing if change]
        batch.counts["sequence_missing"] += sum(change for change in found if change > 0)
        batch.counts["sequence_filled"] -= sum(change for change in found if change < 0)
        if None not in missing:
            batch.sequences += all_seen
            return None
        keep = np.ones(len(plain.message), np.bool_)
        for at, seen, change in zip(numbered, all_seen, missing, strict=True):
            if change is None:
                keep[at] = False
            else:
                batch.sequences.append(seen)
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
        batch.withdrawn_events += [
            (event.device_id, event.time_ms + shift_ms, event.event) for event in decoded.events
        ]

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


class Collector:
    """From one source into one journal.

    Messages that have come within `linger_s` are decoded, judged and committed together in the
    journal's thread; then they are acknowledged in the order they came. While a commit runs the
    next batch fills, so a slow disk makes batches larger, not the wait longer. When the journal is
    full or the disk refuses, nothing is acknowledged and the same batch is tried again.

    Parameters
    ----------
    source : Source
    journal : Journal
    registry : callable
        The devices that exist now, e.g. `RegistryFile(...).current`; asked once a batch.
    settings : CollectorSettings
    now_ms : callable
        The clock [ms, UTC].
    """

    def __init__(
        self,
        source: Source,
        journal: Journal,
        *,
        registry: Callable[[], Registry],
        now_ms: Callable[[], int],
        settings: CollectorSettings | None = None,
    ) -> None:
        self.source = source
        self.journal = journal
        self.settings = settings or CollectorSettings()
        self.liveness = Liveness(since_ms=now_ms())
        self._registry = registry
        self._now_ms = now_ms
        self._intake: Intake | None = None
        self._inbox: list[Message] = []
        self._inbox_ms: list[int] = []
        self._in_work = 0
        self._listed = 0
        self._unordered: list[int] = []
        self._done: set[int] = set()
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._paused = False
        self._journal_error = ""
        self._receipts_due_s = 0.0

    # ------------------------------------------------------------------ what others ask

    @property
    def health(self) -> Health:
        """How it stands."""
        return Health(self.source.status, len(self._inbox) + self._in_work, self._journal_error)

    async def run(self) -> None:
        """Collect until `stop`."""
        reading = asyncio.create_task(self.source.run(self._deliver), name="source")
        pumping = asyncio.create_task(self._pump(), name="collector")
        try:
            await asyncio.wait({reading, pumping}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not self._stopping.is_set():
                reading.result()  # a recorded source comes to its end; an error is raised
                self._stopping.set()
                self._wake.set()
            await pumping
            await self.source.stop()
            await reading
        finally:
            for task in (reading, pumping):
                task.cancel()
            await asyncio.gather(reading, pumping, return_exceptions=True)
            self._stopped.set()

    async def stop(self) -> None:
        """Read no more, commit and acknowledge what has come, say goodbye.

        What could not be committed in time is not acknowledged; the broker keeps it.
        """
        self.source.pause()
        self._stopping.set()
        self._wake.set()
        self._full.set()
        await self._stopped.wait()

    # ------------------------------------------------------------------ messages come

    def _deliver(self, messages: Sequence[Message]) -> None:
        inbox = self._inbox
        inbox += messages
        self._inbox_ms += [self._now_ms()] * len(messages)
        waiting = len(inbox)
        if waiting >= self.settings.batch_messages:
            self._full.set()
            if waiting >= self.settings.inbox_messages and not self._paused:
                self._paused = True
                self.source.pause()
        self._wake.set()

    # ------------------------------------------------------------------ and are kept

    async def _pump(self) -> None:
        intake = self._intake = Intake(
            self.journal, self._current_registry(Registry()), self.settings, self.liveness
        )
        loop = asyncio.get_running_loop()
        give_up_s = None
        while True:
            await self._gather(intake)
            if self._stopping.is_set():
                give_up_s = give_up_s or loop.time() + self.settings.stop_s
                if not self._inbox:
                    break
            messages, received_ms = self._take()
            self._in_work = len(messages)
            intake.registry = self._current_registry(intake.registry)
            batch, error = await loop.run_in_executor(
                self.journal.executor, self._work, intake, messages, received_ms
            )
            if error is not None and not await self._insist(batch, error, give_up_s):
                return
            self._in_work = 0
            self._acknowledge(messages)
            if self._paused and len(self._inbox) < self.settings.inbox_messages // 2:
                self._paused = False
                if not self._stopping.is_set():
                    self.source.resume()
            await self._tell_devices(intake)
        await self._tell_devices(intake, now=True)

    def _current_registry(self, last: Registry) -> Registry:
        try:
            return self._registry()
        except SettingsError as error:
            log.error("the device registry cannot be read", problem=str(error))  # noqa: TRY400 - the text says it all
            return last

    async def _gather(self, intake: Intake) -> None:
        """Wait for a message, then for others to come with it."""
        while not self._inbox and not self._stopping.is_set():
            self._wake.clear()
            timeout_s = None
            if intake.due and self.settings.receipts_s:
                timeout_s = max(0.0, self._receipts_due_s - time.monotonic())
            try:
                await asyncio.wait_for(self._wake.wait(), timeout_s)
            except TimeoutError:
                await self._tell_devices(intake)
        if len(self._inbox) < self.settings.batch_messages and not self._stopping.is_set():
            self._full.clear()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.settings.linger_s, self._full.set)
            await self._full.wait()
            timer.cancel()

    def _take(self) -> tuple[list[Message], list[int]]:
        """The next messages: all that wait, or, of too many, each device's first ones."""
        most = 4 * self.settings.batch_messages
        crowded = len(self._inbox) > most
        if crowded or self._unordered:
            # Acknowledgements must go out in the order of arrival, whatever is handled first.
            new = self._inbox[self._listed :]
            self._unordered += [message[4] for message in new if message[2]]
        messages, received_ms = self._inbox, self._inbox_ms
        self._inbox, self._inbox_ms, self._listed = [], [], 0
        if crowded:
            chosen, left = _fair(messages, self.settings.batch_messages)
            self._inbox = [messages[i] for i in left]
            self._inbox_ms = [received_ms[i] for i in left]
            self._listed = len(left)
            messages = [messages[i] for i in chosen]
            received_ms = [received_ms[i] for i in chosen]
        return messages, received_ms

    def _work(
        self, intake: Intake, messages: Sequence[Message], received_ms: Sequence[int]
    ) -> tuple[Batch, JournalError | None]:
        """Decode, judge and commit, in the journal's thread."""
        batch = intake.read(messages, received_ms)
        try:
            self.journal.commit(batch)
        except JournalError as error:
            return batch, error
        except Exception:
            # A bug again, in what all of them made together: keep the messages themselves.
            log.exception("messages could not be committed", messages=len(messages))
            batch = intake.put_aside(messages, received_ms)
            try:
                self.journal.commit(batch)
            except JournalError as error:
                return batch, error
        return batch, None

    async def _insist(self, batch: Batch, error: JournalError, give_up_s: float | None) -> bool:
        """Try the same batch until the journal takes it; False when we had to stop before."""
        loop = asyncio.get_running_loop()
        while True:
            if str(error) != self._journal_error:
                self._journal_error = str(error)
                full = isinstance(error, JournalFullError)
                log.error("nothing is acknowledged", journal_full=full, problem=str(error))
            if self._stopping.is_set():
                give_up_s = give_up_s or loop.time() + self.settings.stop_s
                if loop.time() > give_up_s:
                    return False
            await asyncio.sleep(self.settings.retry_s)
            try:
                await loop.run_in_executor(self.journal.executor, self.journal.commit, batch)
            except JournalError as again:
                error = again
            else:
                log.info("the journal takes readings again")
                self._journal_error = ""
                return True

    def _acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge in the order of arrival (MQTT 5.0, MQTT-4.6.0-2)."""
        if not self._unordered:
            self.source.ack([message[4] for message in messages])
            return
        self._done.update(message[4] for message in messages if message[2])
        due = 0
        for token in self._unordered:
            if token not in self._done:
                break
            due += 1
        ready, self._unordered = self._unordered[:due], self._unordered[due:]
        self._done.difference_update(ready)
        self.source.ack(ready)

    async def _tell_devices(self, intake: Intake, *, now: bool = False) -> None:
        """Publish the receipts that are due, at most every `receipts_s`."""
        every_s = self.settings.receipts_s
        if not every_s or not intake.due or (not now and time.monotonic() < self._receipts_due_s):
            return
        self._receipts_due_s = time.monotonic() + every_s
        loop = asyncio.get_running_loop()
        receipts = await loop.run_in_executor(self.journal.executor, intake.receipts)
        for topic, payload in receipts:
            if not self.source.publish(topic, payload):
                break  # the device sends again and is told then


def _fair(messages: Sequence[Message], most: int) -> tuple[list[int], list[int]]:
    """Choose up to `most` messages so that no device goes before others twice.

    Each device's first waiting message comes before any device's second, and so on; messages of one
    device keep their order.

    Returns
    -------
    (list of int, list of int)
        Which are chosen, in the order to handle them, and which are left, in the order they came.
    """
    nth: Counter[str] = Counter()
    rank: list[tuple[int, int]] = []
    for i, message in enumerate(messages):
        device = "/".join(message[0].split("/", 4)[:4])
        rank.append((nth[device], i))
        nth[device] += 1
    rank.sort()
    chosen = [i for _, i in rank[:most]]
    left = sorted(i for _, i in rank[most:])
    return chosen, left
