"""`import`, `users`, `keys`, `policy`, `export-truth`, `export-situation`."""

import json
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from api.ledger import Ledger
    from api.ledger.views import AuditAction

__all__ = ["register"]

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")]
Data = Annotated[Path | None, typer.Option("--data", help="Data folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
Role = Annotated[
    list[str], typer.Option("--role", help="crew, planner, tester, operator, admin, ...")
]
Area = Annotated[list[str] | None, typer.Option("--area", help="Only these areas.")]
Out = Annotated[Path, typer.Option("--out", help=".csv, .jsonl or .parquet")]
DAY_MS = 86_400_000


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    imports = typer.Typer(help="Bring in assets and maintenance.", no_args_is_help=True)
    imports.command("assets")(import_assets)
    imports.command("maintenance")(import_maintenance)
    app.add_typer(imports, name="import")
    users = typer.Typer(help="People who sign in.", no_args_is_help=True)
    users.command("list")(list_users)
    users.command("add")(add_user)
    users.command("link")(link_user)
    users.command("change")(change_user)
    app.add_typer(users, name="users")
    keys = typer.Typer(help="API keys for programs.", no_args_is_help=True)
    keys.command("list")(list_keys)
    keys.command("create")(create_key)
    keys.command("revoke")(revoke_key)
    app.add_typer(keys, name="keys")
    policy = typer.Typer(help="Repair rules as data.", no_args_is_help=True)
    policy.command("list")(list_policies)
    policy.command("show")(show_policy)
    policy.command("what-if")(what_if)
    app.add_typer(policy, name="policy")
    app.command("export-truth")(export_truth)
    app.command("export-situation")(export_situation)
    app.command("export-costs")(export_costs)


def now_ms() -> int:
    """Time now [ms, UTC]."""
    return time.time_ns() // 1_000_000


@contextmanager
def ledger_of(
    config: Path | None, data: Path | None, *, write: bool = False
) -> Generator["Ledger"]:
    """The ledger of the settings; to write an embedded one, nobody else may have it open."""
    from contextlib import ExitStack

    from api.datadir import DataDir
    from api.ledger import open_ledger
    from api.operations.sla import load_policy
    from api.settings import load_settings

    settings = load_settings(config, overrides={"data_dir": data} if data else None)
    with ExitStack() as stack:
        if write:
            embedded = settings.ledger_url.startswith("sqlite")
            stack.enter_context(DataDir(settings.data_dir, shared=not embedded))
        ledger = stack.enter_context(
            open_ledger(settings.ledger_url, policy=load_policy(settings.ledger.policy))
        )
        yield ledger


@contextmanager
def listed_by(command: str) -> Generator[None]:
    """What is not there is told with the command that shows what is."""
    from api.errors import NotFoundError

    try:
        yield
    except NotFoundError as error:
        raise NotFoundError(error.message, remedy=f"`{command}` shows them.") from error


def noted(ledger: "Ledger", action: "AuditAction", subject: str, **details: Any) -> None:
    """Write it down: who did what to whom."""
    ledger.audit(actor="cli", action=action, subject=subject, now_ms=now_ms(), details=details)


def say(content: Any, text: str, *, as_json: bool) -> None:
    """Print for people, or for programs."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n" if as_json else text)


# -- import ----------------------------------------------------------------------------------


def import_assets(
    file: Annotated[Path, typer.Argument(help="CSV, xlsx, Parquet or GeoJSON.")],
    apply: Annotated[bool, typer.Option("--apply", help="Write; without it only tell.")] = False,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="OURS=THEIRS, THEIRS+THEIRS joins columns; repeatable."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only rows with COLUMN=VALUE; repeatable.")
    ] = None,
    segments: Annotated[
        bool, typer.Option(help="Infer segments and their order where none is given.")
    ] = True,
    whole: Annotated[
        bool, typer.Option("--whole", help="These are all there are: remove the others.")
    ] = False,
    sheet: Annotated[str | None, typer.Option(help="Sheet of an xlsx file.")] = None,
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what an inventory would change, and change it with --apply."""
    from api.street.asset_intake import pairs_of
    from api.street.assets_import import import_summary, read_assets
    from api.street.segments import infer_segments

    found = read_assets(
        file,
        columns=pairs_of(map_ or (), "--map"),
        where=pairs_of(where or (), "--where"),
        sheet=sheet,
    )
    assets, unordered = found.assets, list[str]()
    if segments:
        inferred = infer_segments(assets)
        assets, unordered = inferred.assets, inferred.unordered
    with ledger_of(config, data, write=apply) as ledger:
        if apply:
            diff = ledger.put_assets(assets, now_ms=now_ms(), whole=whole)
            publish(ledger, config, data)
            counts = {"added": len(diff.added), "same": diff.same}
            counts |= {"changed": len(diff.changed), "removed": len(diff.removed)}
            noted(ledger, "assets_imported", file.name, **counts)
        else:
            diff = ledger.asset_diff(assets, whole=whole)
    summary = import_summary(found, diff, unordered, applied=apply)
    say(summary, import_text(summary), as_json=as_json)


def publish(ledger: "Ledger", config: Path | None, data: Path | None) -> None:
    """Let ingest know the devices."""
    from api.datadir import DataDir
    from api.settings import load_settings
    from api.street.assets_registry import write_registry

    settings = load_settings(config, overrides={"data_dir": data} if data else None)
    write_registry(ledger.assets(), DataDir(settings.data_dir).registry)


def import_text(summary: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        (
            f"read {summary['read']} assets, skipped {summary['skipped']} rows, "
            f"rejected {len(summary['rejected'])}"
        ),
        *(f"  line {r['line']}: {r['reason']}" for r in summary["rejected"][:20]),
        (
            f"{'added' if summary['applied'] else 'would add'} {summary['added']}, "
            f"change {len(summary['changed'])}, remove {len(summary['removed'])}, "
            f"leave {summary['same']}"
        ),
    ]
    for c in summary["changed"][:20]:
        fields = ", ".join(f"{n}: {a} -> {b}" for n, (a, b) in c["fields"].items())
        lines.append(f"  {c['device_id']}: {fields}")
    if summary["without_order"]:
        lines.append(f"{len(summary['without_order'])} luminaires have no order on a segment")
    if summary["not_known"]:
        known = ", ".join(f"{name} {n}" for name, n in sorted(summary["not_known"].items()))
        lines.append(f"not known: {known}")
    if not summary["applied"]:
        lines.append("Nothing was written; add --apply to write.")
    return "\n".join(lines) + "\n"


def import_maintenance(
    file: Annotated[Path, typer.Argument(help="device_id, time, action.")],
    tz: Annotated[str, typer.Option(help="Of times without a zone.")] = "Europe/Stockholm",
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Add to the maintenance log; what it has already is not added again."""
    from zoneinfo import ZoneInfo

    from api.errors import BadInputError
    from api.ledger import Maintenance
    from api.tables import read_table

    table = read_table(file)
    devices, actions = table.texts("device_id"), table.texts("action")
    times = table.times("time", ZoneInfo(tz))
    missing = [table.first_line + i for i, known in enumerate(times.known.tolist()) if not known]
    if missing:
        raise BadInputError(f"{file}, line {missing[0]}: no time can be read.")
    entries = [
        Maintenance(device, int(at) * 1000, action)
        for device, at, action in zip(devices, times.utc_s.tolist(), actions, strict=True)
    ]
    with ledger_of(config, data, write=True) as ledger:
        new = ledger.add_maintenance(entries)
    say({"read": len(entries), "new": new}, f"{new} of {len(entries)} were new\n", as_json=as_json)


# -- users and keys --------------------------------------------------------------------------


def list_users(config: Config = None, data: Data = None, as_json: AsJson = False) -> None:
    """Everybody who may sign in."""
    with ledger_of(config, data) as ledger:
        found: list[dict[str, Any]] = [
            {
                "name": u.name,
                "roles": sorted(u.roles),
                "areas": sorted(u.areas),
                "active": u.active,
                "password": u.has_password,
            }
            for u in ledger.users()
        ]
    text = "".join(
        f"{u['name']}  {','.join(u['roles'])}  {','.join(u['areas']) or 'all areas'}"
        f"{'' if u['active'] else '  (inactive)'}\n"
        for u in found
    )
    say({"items": found, "next": None}, text or "nobody\n", as_json=as_json)


def add_user(
    name: Annotated[str, typer.Argument(help="As they sign in.")],
    role: Role,
    area: Area = None,
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Add a person and print the secret of a one-time sign-in link, good for a day."""
    with ledger_of(config, data, write=True) as ledger:
        user = ledger.create_user(name, roles=role, areas=area or (), now_ms=now_ms())
        token = ledger.sign_in_link(name, now_ms=now_ms())
        noted(ledger, "user_created", name, roles=sorted(user.roles))
        noted(ledger, "link_made", name)
    say({"name": name, "link": token}, f"one-time secret: {token}\n", as_json=as_json)


def link_user(name: str, config: Config = None, data: Data = None, as_json: AsJson = False) -> None:
    """Print the secret of a new one-time sign-in link."""
    with ledger_of(config, data, write=True) as ledger, listed_by("ljusvakt users list"):
        token = ledger.sign_in_link(name, now_ms=now_ms())
        noted(ledger, "link_made", name)
    say({"name": name, "link": token}, f"one-time secret: {token}\n", as_json=as_json)


def change_user(
    name: str,
    role: Annotated[list[str] | None, typer.Option("--role", help="All roles from now on.")] = None,
    area: Area = None,
    active: Annotated[bool | None, typer.Option(help="May sign in.")] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Change roles, areas, or whether somebody may sign in."""
    changed = {"roles": role, "areas": area, "active": active}
    with ledger_of(config, data, write=True) as ledger, listed_by("ljusvakt users list"):
        ledger.change_user(name, roles=role, areas=area, active=active)
        noted(ledger, "user_changed", name, **{k: v for k, v in changed.items() if v is not None})


def list_keys(config: Config = None, data: Data = None, as_json: AsJson = False) -> None:
    """Every key ever made; no secrets."""
    with ledger_of(config, data) as ledger:
        found: list[dict[str, Any]] = [
            {
                "id": k.public_id,
                "name": k.name,
                "roles": sorted(k.roles),
                "areas": sorted(k.areas),
                "revoked": k.revoked_ms is not None,
            }
            for k in ledger.keys()  # noqa: SIM118 - the ledger is no dict
        ]
    text = "".join(
        f"{k['id']}  {k['name']}  {','.join(k['roles'])}{'  (revoked)' if k['revoked'] else ''}\n"
        for k in found
    )
    say({"items": found, "next": None}, text or "no keys\n", as_json=as_json)


def create_key(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    role: Role,
    area: Area = None,
    days: Annotated[int | None, typer.Option(help="Works for so many days.")] = None,
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    at_ms = now_ms()
    expires = at_ms + days * DAY_MS if days else None
    with ledger_of(config, data, write=True) as ledger:
        made = ledger.create_key(
            name, roles=role, areas=area or (), now_ms=at_ms, expires_ms=expires
        )
        noted(ledger, "key_created", made.key.public_id, roles=sorted(made.key.roles))
    say({"id": made.key.public_id, "key": made.secret}, made.secret + "\n", as_json=as_json)


def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Make a key work no longer."""
    with ledger_of(config, data, write=True) as ledger, listed_by("ljusvakt keys list"):
        ledger.revoke_key(key_id, now_ms=now_ms())
        noted(ledger, "key_revoked", key_id)


# -- policy ----------------------------------------------------------------------------------


def list_policies(as_json: AsJson = False) -> None:
    """The policies that come with the program."""
    from api.operations.sla import load_policy, packaged_policies

    found = [{"id": p, "title": load_policy(p).title} for p in packaged_policies()]
    text = "".join(f"{p['id']}  {p['title']}\n" for p in found)
    say({"items": found, "next": None}, text, as_json=as_json)


def show_policy(
    name: Annotated[str, typer.Argument(help="Name, or path of a TOML file.")] = "helsingborg",
    as_json: AsJson = False,
) -> None:
    """A policy's rules, each with its source and whether that was verified."""
    from api.operations.sla import load_policy

    policy = load_policy(name)
    rules = [
        {
            "id": r.id,
            "priority": r.priority,
            "first_action": r.first_action,
            "repaired": r.repaired,
            "clock": r.clock.value,
            "source": r.source,
            "verified": r.verified.value,
        }
        for r in policy.rules
    ]
    text = f"{policy.title}\n" + "".join(
        f"  {r['id']}: {r['priority']}; first action {r['first_action'] or '-'}, repaired "
        f"{r['repaired'] or '-'} ({r['clock']})\n      verified {r['verified']}: {r['source']}\n"
        for r in rules
    )
    say({"id": policy.id, "title": policy.title, "rules": rules}, text, as_json=as_json)


def what_if(
    policies: Annotated[list[str], typer.Argument(help="Names or paths; two are compared.")],
    days: Annotated[int, typer.Option(help="Orders detected in so many days.")] = 365,
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Run policies over the orders the ledger holds."""
    from dataclasses import asdict

    from api.operations.sla import load_policy
    from api.operations.what_if import changed, try_policy

    at_ms = now_ms()
    with ledger_of(config, data) as ledger:
        cases = ledger.cases(now_ms=at_ms, since_ms=at_ms - days * DAY_MS)
    tried = [try_policy(load_policy(name), cases) for name in policies]
    text = ""
    for result in tried:
        levels = ", ".join(f"{level} {n}" for level, n in result.by_priority.items())
        text += (
            f"{result.policy}: {result.cases} orders: {levels}; late first action "
            f"{result.late_first_action} of {result.timed_first_action}, late repair "
            f"{result.late_repaired} of {result.timed_repaired}\n"
        )
    moved = changed(tried[0], tried[1]) if len(tried) == 2 else []
    text += "".join(f"  order {number}: {a} -> {b}\n" for number, a, b in moved[:50])
    content = {"items": [asdict(result) for result in tried], "changed": moved, "next": None}
    say(content, text, as_json=as_json)


# -- exports ---------------------------------------------------------------------------------


def say_written(out: Path, column: Sequence[Any], *, as_json: bool) -> None:
    """How many rows a file has, by one of its columns."""
    rows = len(column)
    say({"rows": rows, "file": str(out)}, f"{rows} rows in {out}\n", as_json=as_json)


def export_truth(
    out: Out,
    days: Annotated[int, typer.Option(help="Orders detected in so many days.")] = 365,
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write proved orders in the truth format, so that `score` works on a real feed."""
    from api.interop.csv_export import TRUTH_TIMES, truth_columns
    from api.tables import write_table

    with ledger_of(config, data) as ledger:
        columns = truth_columns(ledger.closed_details(since_ms=now_ms() - days * DAY_MS))
    write_table(out, columns, times=TRUTH_TIMES)
    say_written(out, columns["fault_id"], as_json=as_json)


def export_situation(
    out: Out,
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write the situation map as things are now (`.geojson` or a table)."""
    from api.commands.storage import reading_store
    from api.interop.csv_export import SITUATION_TIMES
    from api.interop.geojson import situation_map
    from api.settings import load_settings
    from api.situation import situation_now
    from api.tables import write_table

    settings = load_settings(config, overrides={"data_dir": data} if data else None)
    with ledger_of(config, data) as ledger, reading_store(settings) as store:
        at_ms = now_ms()
        columns = situation_now(ledger, store, settings, now_ms=at_ms, slot_ms=at_ms)
    if out.suffix == ".geojson":
        out.write_text(json.dumps(situation_map(columns), ensure_ascii=False), encoding="utf-8")
    else:
        write_table(out, columns, times=SITUATION_TIMES)
    say_written(out, columns["site"], as_json=as_json)


def export_costs(
    out: Out,
    days: Annotated[int, typer.Option(help="Orders detected in so many days.")] = 365,
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write what the work cost, by budget account and area."""
    from api.interop.csv_export import cost_columns
    from api.tables import write_table

    with ledger_of(config, data) as ledger:
        columns = cost_columns(ledger.orders_since(now_ms() - days * DAY_MS))
    write_table(out, columns)
    say_written(out, columns["area"], as_json=as_json)
