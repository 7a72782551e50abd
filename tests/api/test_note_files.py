"""Photos and documents beside what people noted: cleaned, listed, frozen with the result."""

import io
import zipfile

import pytest
from contracts.counted_city import add_squares, day_before_now
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from api.errors import BadInputError
from api.ledger.note_files import MAX_FILES, NoteFiles, clean_file

URL = "/api/v1/interventions"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n"


def photo(colour="red") -> bytes:
    """A photo that says where and with what it was taken."""
    exif = Image.Exif()
    exif[0x010F] = "Kamera AB"
    exif.get_ifd(0x8825)[2] = (IFDRational(56), IFDRational(3), IFDRational(0))
    kept = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(kept, "JPEG", exif=exif)
    return kept.getvalue()


def archive(**members: bytes) -> bytes:
    """An archive with these members; `__` in a name stands for a slash, `_dot_` for a dot."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as made:
        for name, content in members.items():
            made.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return kept.getvalue()


def word(**more: bytes) -> bytes:
    """A Word document as far as its kind goes."""
    given = {"[Content_Types]_dot_xml": b"<Types/>", "word__document_dot_xml": b"<w/>", **more}
    return archive(**given)


@pytest.fixture
def city(services, acting):
    """A planner in the city with ten counted squares; the first rose by 60 % ten weeks ago."""
    add_squares(services, risen=1.6)
    return acting("planner")


@pytest.fixture
def noted(city):
    """An intervention with one dialogue: the address of the note, and of the intervention."""
    wanted = {"title": "Nytt ljus", "kind": "lighting", "sites": ["Torg 1"],
              "start": day_before_now(70), "band": "day"}  # fmt: skip
    one = city.post(URL, json=wanted).json()["id"]
    said = {"phase": "before", "kind": "dialogue", "day": "2026-08-01", "text": "Det är mörkt."}
    note = city.post(f"{URL}/{one}/notes", json=said).json()["id"]
    return f"{URL}/{one}", f"{URL}/{one}/notes/{note}"


def send(city, note, name, content):
    """Attach a file."""
    return city.post(f"{note}/files", files={"file": (name, content, "text/html")})


def test_a_photo_keeps_the_picture_and_loses_where_it_was_taken(city, noted):
    one, note = noted
    made = send(city, note, "C:\\bilder\\torget.png.jpeg", photo())
    assert made.status_code == 201, made.text
    assert made.json()["name"] == "torget.png.jpg"
    got = city.get(made.json()["href"])
    assert got.headers["content-type"] == "image/jpeg"
    assert got.headers["content-disposition"].startswith("inline")
    with Image.open(io.BytesIO(got.content)) as picture:
        assert picture.size == (60, 40)
        assert dict(picture.getexif()) == {}
    assert b"Kamera" not in got.content
    again = send(city, note, "samma.jpg", photo())
    assert again.json()["id"] == made.json()["id"]
    listed = city.get(f"{one}/notes").json()["items"]
    assert [f["sha256"] for f in listed[0]["files"]] == [made.json()["sha256"]]


@pytest.mark.parametrize(
    ("name", "content", "kept_as", "media_type"),
    [
        ("möte.pdf", PDF, "möte.pdf", "application/pdf"),
        ("../../etc/protokoll.exe", PDF, "protokoll.pdf", "application/pdf"),
        ("enkät.docx", word(), "enkät.docx",
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("svar", archive(mimetype=b"application/vnd.oasis.opendocument.spreadsheet"), "svar.ods",
         "application/vnd.oasis.opendocument.spreadsheet"),
        ("", PDF, "fil.pdf", "application/pdf"),
    ],
)  # fmt: skip
def test_a_document_is_what_its_content_says(city, noted, name, content, kept_as, media_type):
    assert clean_file(name, content)[:2] == (kept_as, media_type)
    if name:
        made = send(city, noted[1], name, content).json()
        got = city.get(made["href"])
        assert got.content == content
        assert got.headers["content-disposition"].startswith("attachment")
        assert got.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"<script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"MZ\x90\x00", b"\xff\xd8\xffnot a picture", b"PK\x03\x04broken", archive(a=b"x"),
        word(word__vbaProject_dot_bin=b"x"), b"%PDF-" + b"0" * 15_000_000,
        archive(mimetype=b"application/x-program"),
    ],
)  # fmt: skip
def test_what_is_no_photo_or_document_is_refused(content):
    with pytest.raises(BadInputError):
        clean_file("x.pdf", content)


def test_a_note_holds_thirty_files_and_a_note_of_another_intervention_none(services, city, noted):
    one, note = noted
    files, number = NoteFiles(services.ledger.database), int(one.rsplit("/", 1)[1])
    note_id = int(note.rsplit("/", 1)[1])
    for n in range(MAX_FILES):
        files.attach(number, note_id, "a.pdf", PDF + bytes([65 + n]), author="p", now_ms=1)
    assert send(city, note, "en till.pdf", PDF).status_code == 422
    assert city.post(f"{URL}/999/notes/{note_id}/files",
                     files={"file": ("a.pdf", PDF)}).status_code == 404  # fmt: skip
    kept = files.of(number)[note_id][0]
    assert city.get(f"{URL}/999/files/{kept.id}").status_code == 404


def test_files_stand_in_the_pack_and_are_frozen_with_the_result(city, noted):
    one, note = noted
    made = send(city, note, "torget.jpg", photo()).json()
    gone = send(city, note, "fel.pdf", PDF).json()
    assert city.delete(gone["href"]).status_code == 204
    assert city.get(gone["href"]).status_code == 404
    frozen = city.post(f"{one}/result").json()["result"]["qualitative"]
    assert frozen["files"] == [{"note": frozen["notes"][0]["id"], "name": "torget.jpg",
                                "size": made["size"], "sha256": made["sha256"]}]  # fmt: skip
    assert frozen["notes"][0]["text"] == "Det är mörkt."
    assert city.delete(made["href"]).status_code == 409
    page = city.get(f"{one}/page").text
    assert made["href"] in page
    assert made["sha256"] in page
    assert frozen["sha256"] in page
    pack = city.get(f"{one}/pack").json()
    assert pack["notes"][0]["files"][0]["name"] == "torget.jpg"


def test_nothing_of_the_files_is_published(city, noted, client):
    one, note = noted
    made = send(city, note, "torget.jpg", photo()).json()
    city.post(f"{one}/result")
    city.post(f"{one}/publication", json={"published": True})
    number = one.rsplit("/", 1)[1]
    page = client.get(f"{URL}/published/{number}/page").text
    assert "torget" not in page
    assert "Det är mörkt" not in page
    assert client.get(made["href"]).status_code == 401


def test_crews_see_no_files(city, noted, acting):
    made = send(city, noted[1], "a.pdf", PDF).json()
    assert acting("crew").get(made["href"]).status_code == 403
    assert acting("partner").delete(made["href"]).status_code == 403
