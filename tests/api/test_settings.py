"""Settings: found wherever they may stand, refused with their place."""

import importlib.util
from pathlib import Path

import pytest

from api.errors import BadInputError
from api.settings import load_settings

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "ljusvakt.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_page_of_settings_has_every_setting() -> None:
    spec = importlib.util.spec_from_file_location("settings_doc", ROOT / "tools/settings_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == module.render()


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, "[http]\nport = 8001\nhost = '127.0.0.9'\n")
    clean_environment.setenv("LJUSVAKT_HTTP__PORT", "8002")
    assert load_settings(config).http.port == 8002
    assert load_settings(config, overrides={"http": {"port": 8003}}).http.port == 8003
    assert load_settings(config, overrides={"http": {"port": None}}).http.host == "127.0.0.9"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("city = 'A'\n[http]\nport = 'abc'\n", ":3: http.port"),
        ("city = 'A'\n[http]\nprot = 3\n", ":3: http.prot: no such setting"),
        ("city = 'A'\n[htpp]\nport = 3\n", ":2: htpp: no such setting"),
        ("city = 'A'\nport 3\n", "line 2"),
        ("[http]\nport = 0\n", ":2: http.port"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch, text: str, place: str
) -> None:
    with pytest.raises(BadInputError) as refused:
        load_settings(write(tmp_path, text))
    assert place in str(refused.value)
    assert "ljusvakt.toml" in str(refused.value)


def test_an_unknown_variable_is_refused_by_name(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("LJUSVAKT_HTPT__PORT", "1")
    with pytest.raises(BadInputError, match="LJUSVAKT_HTPT__PORT"):
        load_settings()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.toml"):
        load_settings(tmp_path / "nowhere.toml")


def test_a_secret_comes_from_its_file_and_never_shows(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "mqtt"
    secret.write_text("hemligt\n", encoding="utf-8")
    secret.chmod(0o600)
    clean_environment.setenv("LJUSVAKT_BROKER__PASSWORD_FILE", str(secret))
    settings = load_settings()
    assert settings.broker.password.get_secret_value() == "hemligt"
    assert "hemligt" not in repr(settings)


def test_a_secret_that_everybody_can_read_is_refused(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "mqtt"
    secret.write_text("hemligt\n", encoding="utf-8")
    secret.chmod(0o644)
    clean_environment.setenv("LJUSVAKT_BROKER__PASSWORD_FILE", str(secret))
    with pytest.raises(BadInputError, match="chmod 600"):
        load_settings()
