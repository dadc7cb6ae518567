"""people.csv: what it permits on a day, what is wrong with a bad one, and what it stops."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from face_assets.automation.due_people import due_people_sensor, end_enrolment, erase_due_people
from face_assets.cli.people import due_people, due_text
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.settings import remember
from face_assets.gallery import people_register
from face_assets.gallery.people_changes import AddPhotos, Rename
from face_assets.gallery.people_commits import Request, change_people, people_at
from face_assets.gallery.people_register import parse_register
from face_assets.gallery.retention import check_enrolled
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.git import git
from face_assets.registry.person import PLATFORM
from face_assets.registry.workspace import Workspace
from tests.gallery.test_people import photo

HEAD = "identity,basis,since,until\n"
DAY = date(2026, 6, 15)
ANN = HEAD + "Ann,consent,2026-01-01,2026-12-31\n"


def parse(text: str | bytes) -> people_register.PeopleRegister:
    return parse_register(text if isinstance(text, bytes) else text.encode(), "people.csv")


def state(text: str, name: str = "Ann", day: date = DAY) -> str:
    return parse(text).standing(name, day).state


def test_an_entry_holds_from_its_first_day_to_its_last() -> None:
    days = ["2025-12-31", "2026-01-01", "2026-12-01", "2026-12-02", "2026-12-31", "2027-01-01"]
    found = [state(ANN, day=date.fromisoformat(day)) for day in days]
    assert found == ["not yet", "in force", "in force", "soon", "soon", "past"]
    assert state(HEAD + "Ann,contract,2026-01-01,\n") == "in force"
    assert state(ANN, "Bob") == "no entry"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + ANN,
        ANN.replace("\n", "\r\n"),
        ANN.replace(",", ";"),
        'Since , until, IDENTITY,basis,note\n2026-01-01,,Ann,consent,"a, b\n"\n\n , ,\n'.replace("\n , ,\n", "\n,,,,\n"),
        HEAD + "\n  ann ,consent,2026-01-01,\n",
    ],
)
def test_tables_as_programs_write_them_are_read(text: str) -> None:
    assert state(text) == "in force"


def test_a_name_in_any_unicode_form_is_one_person() -> None:
    decomposed = HEAD + "Zoe\u0308 Mu\u0308ller,consent,2026-01-01,\n"
    assert state(decomposed, "ZOË  Müller") == "in force"
    with pytest.raises(UserError, match=r"line 3: 'Zoë Müller' has an entry in line 2 too"):
        parse(decomposed + "Zoë Müller,consent,2026-01-01,\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: no column identity and no basis and no since and no until. Begin it with the line `identity,basis,since,until`"),
        ("identity,basis,since\n", "line 1: no column until"),
        ("identity,basis,since,until,until\n", "line 1: the column until is there twice"),
        (HEAD + "Ann,consent,2026-01-01\n", "line 2: 3 cells, and line 1 has 4"),
        (HEAD + "Ann,consent, by mail,2026-01-01,\n", "line 2: 5 cells"),
        (HEAD + '"A\nB",consent,2026-01-01,\n', "line 2: 'A B' is no name of a person"),
        (HEAD + " ,consent,2026-01-01,\n", "line 2: '' is no name of a person"),
        (HEAD + "Ann,,2026-01-01,\n", "line 2: no basis"),
        (HEAD + "Ann,consent,,\n", "line 2: no day in since"),
        (HEAD + "Ann,consent,01.02.2026,\n", "line 2: '01.02.2026' in since is no day. Write it as 2026-02-28"),
        (HEAD + "Ann,consent,2026-02-30,\n", "line 2: '2026-02-30' in since is no day"),
        (HEAD + "Ann,consent,20260101,\n", "line 2: '20260101' in since is no day"),
        (HEAD + "Ann,consent,2026-01-02,2026-01-01\n", "line 2: until 2026-01-01 is before since 2026-01-02"),
        (ANN + "\nBob,contract,2026-01-01,\nANN,consent,2026-01-01,\n", "line 5: 'ANN' has an entry in line 2, as 'Ann', too"),
        (HEAD + '"Ann,consent,2026-01-01,\n', "line 2: unexpected end of data"),
        ((HEAD + "Zoë,consent,2026-01-01,\n").encode("latin-1"), "line 2: byte 0xeb is no UTF-8"),
        (ANN.encode("utf-16"), "people.csv is UTF-16 text"),
    ],
)
def test_a_bad_table_is_refused_with_the_line(text: str | bytes, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        parse(text)
    assert sentence in str(error.value)


def test_a_hundred_thousand_people_are_read() -> None:
    found = parse(HEAD + "".join(f"Person {number},consent,2026-01-01,2027-01-01\n" for number in range(100_000)))
    assert len(found.entries) == 100_000 and found.standing("person 99999", DAY).is_in_force


def test_the_check_of_a_gallery_counts_people_and_names_nobody() -> None:
    register = parse(ANN + "Bob,consent,2027-01-01,\nEve,consent,2020-01-01,2021-01-01\n")
    assert check_enrolled(None, ["Mallory"], DAY).passed
    assert check_enrolled(register, ["ann", "Ann"], DAY).passed
    found = check_enrolled(register, ["Ann", "Bob", "Eve", "Mallory"], DAY)
    assert not found.passed and found.counts == {"past": 1, "no entry": 1, "not yet": 1, "soon": 0, "in force": 1}
    assert not any(name in found.description for name in ("Ann", "Bob", "Eve", "Mallory"))


def commit(clone: Path, text: str) -> None:
    (clone / "people.csv").write_text(text, encoding="utf-8")
    git("add", "people.csv", cwd=clone)
    git("commit", "-qm", "Write the register", cwd=clone)


def test_nobody_is_enrolled_without_an_entry_and_who_is_past_is_enrolled_no_longer(
    repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(repo=str(repository))
    workspace = Workspace.load()
    with pytest.raises(UserError, match=r"has no people\.csv"):
        due_people()
    workspace.repository.refresh()
    first, second, *others = sorted(people_at(workspace, workspace.repository.resolve("main")).names.values())
    lines = [f"{first},consent,2026-01-01,2026-05-01", *(f"{name},contract,2026-01-01," for name in others)]
    commit(repository, HEAD + "\n".join(lines) + "\nZoë,consent,2026-09-01,\n")
    monkeypatch.setattr(people_register, "today", lambda: DAY)
    for module in ("automation.due_people", "gallery.people_commits", "cli.people"):
        monkeypatch.setattr(f"face_assets.{module}.today", lambda: DAY)

    for change, sentence in (
        (AddPhotos("Zoë", (photo("1"),)), r"Zoë: the entry in line \d+ of people.csv holds from 2026-09-01 on"),
        (AddPhotos("Yan", (photo("1"),)), "Yan has no entry in people.csv"),
        (Rename(second, "Yan"), "Yan has no entry in people.csv"),
        (AddPhotos(first, (photo("1"),)), r"ended on 2026-05-01, so nobody is enrolled by it today"),
    ):
        (outcome,) = change_people(workspace, [Request(change, PLATFORM)])
        assert isinstance(outcome.error, RefusedError)
        with pytest.raises(RefusedError, match=sentence):
            raise outcome.error

    found = due_people()
    assert [(row["name"], row["state"], row["enrolled"]) for row in found] == [(first, "past", True), (second, "no entry", True)]
    assert f"{first}: ended on 2026-05-01, and is enrolled" in due_text(found)

    monkeypatch.setenv("FACE_ASSETS_AFTER_CONSENT", "unenrol")
    with dg.DagsterInstance.ephemeral() as instance:
        with dg.build_sensor_context(instance) as context:
            (request,) = due_people_sensor(context, platform=WorkspaceResource()).run_requests or ()
        assert first not in str(request)
        done = end_enrolment.execute_in_process(instance=instance, resources={"platform": WorkspaceResource()})
        assert done.success
        assert not any(first in str(event) for event in instance.all_logs(done.run_id))
        with dg.build_sensor_context(instance) as context:
            assert isinstance(due_people_sensor(context, platform=WorkspaceResource()), dg.SkipReason)
    workspace = Workspace.load()
    workspace.repository.refresh()
    assert set(people_at(workspace, workspace.repository.resolve("main")).names.values()) == {second, *others}
    assert [(row["name"], row["enrolled"]) for row in due_people()] == [(first, False), (second, True)]

    monkeypatch.delenv("FACE_ASSETS_AFTER_CONSENT")
    with dg.DagsterInstance.ephemeral() as instance:
        with dg.build_sensor_context(instance) as context:
            (request,) = due_people_sensor(context, platform=WorkspaceResource()).run_requests or ()
        assert request.job_name == "erase_due_people" and first not in str(request)
        done = erase_due_people.execute_in_process(instance=instance, resources={"platform": WorkspaceResource()})
        assert done.success
        assert not any(first in str(event) for event in instance.all_logs(done.run_id))
        with dg.build_sensor_context(instance) as context:
            assert isinstance(due_people_sensor(context, platform=WorkspaceResource()), dg.SkipReason)
    (certificate,) = home.glob("erasures/*/certificate.json")
    assert first not in certificate.read_text() and "face-assets@localhost" in certificate.read_text()
    assert [row["name"] for row in due_people()] == [second]
