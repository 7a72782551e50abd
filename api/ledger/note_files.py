"""Files attached to what people noted of an intervention: photos and documents."""

import hashlib
import io
import re
import unicodedata
import zipfile
from collections import defaultdict

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, defer, mapped_column

from api.errors import BadInputError, ConflictError, NotFoundError
from api.interventions import NoteFile
from api.ledger.base import Base, BigId, CleanName, Database, row_of
from api.ledger.interventions import InterventionNoteRow, InterventionRow
from api.ledger.photos import MAX_BYTES, clean_photo

__all__ = ["MAX_FILES", "NoteFiles", "clean_file"]

MAX_FILES = 30  # to one note
PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
OFFICE = "application/vnd.openxmlformats-officedocument."
# Which member of the archive says what kind of document it is.
OFFICE_PARTS = {
    "word/document.xml": ("docx", f"{OFFICE}wordprocessingml.document"),
    "xl/workbook.xml": ("xlsx", f"{OFFICE}spreadsheetml.sheet"),
    "ppt/presentation.xml": ("pptx", f"{OFFICE}presentationml.presentation"),
}
OPEN_DOCUMENTS = {
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
}
POSSIBLE = "Give a JPEG, PNG or WebP photo, a PDF, a Word, Excel, PowerPoint or OpenDocument file."


class NoteFileRow(Base):
    """A file of a note; see `api.interventions.NoteFile`."""

    __tablename__ = "intervention_note_files"
    __table_args__ = (UniqueConstraint("note_id", "sha256"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    note_id: Mapped[int] = mapped_column(ForeignKey("intervention_notes.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(CleanName(200))
    media_type: Mapped[str] = mapped_column(CleanName(120))
    size: Mapped[int]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    author: Mapped[str] = mapped_column(CleanName(200))
    created_ms: Mapped[int] = mapped_column(BigInteger)


def clean_file(name: str, content: bytes) -> tuple[str, str, bytes]:
    """The name, media type and bytes that are kept of a file; its content says what it is.

    A photo is encoded anew, so that where and by whom it was taken is gone. Documents are kept as
    they are, their own properties too.

    Raises
    ------
    BadInputError
        If it is empty, too large, can carry a program, or is of no kind that is kept.
    """
    if not content:
        raise BadInputError("the file is empty.", remedy=POSSIBLE)
    if len(content) > MAX_BYTES:
        raise BadInputError(f"the file has {len(content)} bytes; {MAX_BYTES} are possible.")
    if content.startswith(PHOTO_STARTS):
        photo = clean_photo(content)
        return file_name(name, "jpg"), photo.media_type, photo.content
    if content.startswith(b"%PDF-"):
        return file_name(name, "pdf"), "application/pdf", content
    ending, media_type = kind_of_archive(content)
    return file_name(name, ending), media_type, content


def kind_of_archive(content: bytes) -> tuple[str, str]:
    """Ending and media type of an office document; nothing in it is unpacked but its kind."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member.filename for member in archive.infolist()}
            if any(name.lower().endswith("vbaproject.bin") for name in members):
                raise BadInputError("documents with macros are not kept.", remedy=POSSIBLE)
            if "mimetype" in members:
                with archive.open("mimetype") as part:
                    said = part.read(200).decode("ascii", "replace").strip()
                if said in OPEN_DOCUMENTS:
                    return OPEN_DOCUMENTS[said], said
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise BadInputError("this kind of file is not kept.", remedy=POSSIBLE) from error
    found = [kind for part, kind in OFFICE_PARTS.items() if part in members]
    if "[Content_Types].xml" not in members or not found:
        raise BadInputError("this kind of file is not kept.", remedy=POSSIBLE)
    return found[0]


def file_name(given: str, ending: str) -> str:
    """The name without folders, signs that steer, or another ending than the content's."""
    last = unicodedata.normalize("NFC", given).replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rsplit(".", 1)[0] if "." in last else last
    plain = re.sub(r"[^\w ().,+-]", "_", stem).strip(" .")[:150]
    return f"{plain or 'fil'}.{ending}"


class NoteFiles:
    """Files of notes kept in one database; their bytes leave one at a time.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def attach(
        self, number: int, note_id: int, name: str, content: bytes, *, author: str, now_ms: int
    ) -> NoteFile:
        """Keep a file with a note of an intervention. Twice is once.

        Raises
        ------
        NotFoundError
            If there is no such note.
        BadInputError
            If the bytes are nothing that is kept, or the note has thirty files.
        """
        kept_as, media_type, kept = clean_file(name, content)
        digest = hashlib.sha256(kept).hexdigest()
        with self._db.write() as session:
            note_of(session, number, note_id)
            own = NoteFileRow.note_id == note_id
            row = session.scalar(select(NoteFileRow).where(own, NoteFileRow.sha256 == digest))
            if row is None:
                if (session.scalar(select(func.count()).where(own)) or 0) >= MAX_FILES:
                    raise BadInputError(f"a note has at most {MAX_FILES} files.")
                row = NoteFileRow(
                    note_id=note_id,
                    sha256=digest,
                    name=kept_as,
                    media_type=media_type,
                    size=len(kept),
                    content=kept,
                    author=author[:200],
                    created_ms=now_ms,
                )
                session.add(row)
                session.flush()
            return view_of(row)

    def of(self, number: int) -> dict[int, list[NoteFile]]:
        """Files of an intervention by the number of their note, in the order they came."""
        query = (
            select(NoteFileRow)
            .join(InterventionNoteRow, InterventionNoteRow.id == NoteFileRow.note_id)
            .where(InterventionNoteRow.intervention_id == number)
            .order_by(NoteFileRow.id)
            .options(defer(NoteFileRow.content))
        )
        found: dict[int, list[NoteFile]] = defaultdict(list)
        with self._db.read() as session:
            for row in session.scalars(query):
                found[row.note_id].append(view_of(row))
        return dict(found)

    def content(self, number: int, file_id: int) -> tuple[NoteFile, bytes]:
        """A file and its bytes.

        Raises
        ------
        NotFoundError
        """
        with self._db.read() as session:
            row = file_of(session, number, file_id)
            return view_of(row), row.content

    def remove(self, number: int, file_id: int) -> None:
        """Take a file away again.

        Raises
        ------
        NotFoundError
        ConflictError
            If the frozen result was made with it.
        """
        with self._db.write() as session:
            row = file_of(session, number, file_id)
            one = session.get(InterventionRow, number)
            frozen = (one.result or {}).get("qualitative", {}).get("files", []) if one else []
            if any(held["sha256"] == row.sha256 for held in frozen):
                raise ConflictError("the file belongs to the frozen result.")
            session.delete(row)


def note_of(session: Session, number: int, note_id: int) -> InterventionNoteRow:
    """A note of this intervention, or that there is none."""
    note = row_of(session, InterventionNoteRow, note_id)
    if note is None or note.intervention_id != number:
        raise NotFoundError(f"intervention {number} has no note {note_id}.")
    return note


def file_of(session: Session, number: int, file_id: int) -> NoteFileRow:
    """A file of this intervention, or that there is none."""
    row = row_of(session, NoteFileRow, file_id)
    if row is None:
        raise NotFoundError(f"intervention {number} has no file {file_id}.")
    note_of(session, number, row.note_id)
    return row


def view_of(row: NoteFileRow) -> NoteFile:
    """A file as it leaves, without its bytes."""
    return NoteFile(
        id=row.id,
        note_id=row.note_id,
        name=row.name,
        media_type=row.media_type,
        size=row.size,
        sha256=row.sha256,
        author=row.author,
        created_ms=row.created_ms,
    )
