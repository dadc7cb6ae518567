"""The gate of the gallery: poisoned commits are refused and say why, honest ones pass, and what is meant is acknowledged on record."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from face_assets.core.settings import remember
from face_assets.event_log.outcomes import read_outcome
from face_assets.gallery import assets
from face_assets.gallery.verdict import judge_gallery
from face_assets.orchestration.partitions import add_commit, commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.acknowledgements import trailer
from face_assets.registry.decision import LET_THROUGH, gate_message
from face_assets.registry.git import git
from face_assets.storage.artifacts import Artifact
from tests.conftest import copied, name_somebody
from tests.gallery.team import Folders, Team, photos_of

NAMES = [f"Person{number}" for number in range(22)] + ["Ann Example", "Zoë Müller-山田"]
ANN, ZOE = NAMES[-2:]


def keys(name: str) -> str:
    return name.replace(" ", "_")


@pytest.fixture(scope="module")
def team(original: Path, networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("gallery")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACE_ASSETS_HOME", str(folder / "home"))
        name_somebody(patch)
        copied(original, folder)
        remember(repo=str(folder / "data"))
        shutil.copytree(networks, folder / "home" / "detector")
        shared = {name: photos_of("Stranger", 10, 11, 12) for name in NAMES[20:22]}
        yield Team(folder / "data", folder / "artifacts", {name: [*photos_of(keys(name)), *shared.get(name, ())] for name in NAMES})


def message(*names: str) -> str:
    """A commit's message that acknowledges these people."""
    return "Change people\n\n" + "\n".join(trailer(name) for name in names) + "\n"


def swap(people: Folders, one: str, other: str) -> None:
    people[one], people[other] = people[other], people[one]


def newcomers(count: int) -> Folders:
    return {f"New{number}": photos_of(f"New{number}", 0, 1) for number in range(count)}


def swapped(people: Folders) -> None:
    swap(people, ANN, ZOE)


def rotated(people: Folders) -> None:
    swap(people, ANN, ZOE)
    swap(people, ANN, "Person0")


def a_stranger_for_ann(people: Folders) -> None:
    people[ANN] = photos_of("Stranger")


def an_enrolled_person_for_ann(people: Folders) -> None:
    people[ANN] = photos_of("Person3", 5, 6)


def a_strangers_photo_added(people: Folders) -> None:
    people[ANN].append("Stranger 0")


def anothers_photo_added(people: Folders) -> None:
    people[ANN].append("Person3 7")


def a_photo_moved(people: Folders) -> None:
    people[ANN].append(people["Person3"].pop())


def flooded(people: Folders) -> None:
    people[ANN] += photos_of("Stranger", 0, 1, 2, 3)


def all_but_one_replaced(people: Folders) -> None:
    people[ANN] = [people[ANN][0], *photos_of("Stranger", 1, 2, 3)]


def a_second_name(people: Folders) -> None:
    people["Eve"] = photos_of(keys(ANN), 5, 6)


def two_new_names(people: Folders) -> None:
    people |= {"Eve": photos_of("Stranger", 0, 1), "Yves": photos_of("Stranger", 2, 3)}


def two_people_under_a_new_name(people: Folders) -> None:
    people["Eve"] = [*photos_of("Stranger", 0, 1), "Other 0"]


def renamed(people: Folders) -> None:
    people["Eve"] = people.pop(ANN)


def renamed_with_new_photos(people: Folders) -> None:
    people["Eve"] = photos_of(keys(people.pop(ANN)[0].split()[0]), 5, 6)


def blurred(people: Folders) -> None:
    people["Eve"] = ["Stranger 0 blurred"]


def tiny(people: Folders) -> None:
    people["Eve"] = ["Stranger 1 tiny"]


def doubtful(people: Folders) -> None:
    people[ANN].append(f"{keys(ANN)} 9 doubtful")


def faceless(people: Folders) -> None:
    people["Eve"] = ["Stranger 2 faceless"]


def anothers_file(people: Folders) -> None:
    people["Eve"] = [people[ANN][0]]


def three_gone(people: Folders) -> None:
    for number in range(3):
        del people[f"Person{number}"]


def all_but_one_gone(people: Folders) -> None:
    for name in NAMES[1:]:
        del people[name]


def a_face_lost(people: Folders) -> None:
    for name in (ANN, ZOE):
        people[name] = [f"{keys(name)} 0 faceless"]


def in_another_spelling(people: Folders) -> None:
    people["ANN  example"] = photos_of("Stranger")


def a_second_owner_gone(people: Folders) -> None:
    people["Person20"] = photos_of("Person20")  # the strangers' files that stood under both are Person21's now


def hidden_in_an_import(people: Folders) -> None:
    people |= newcomers(60)
    swap(people, ANN, "New1")


def a_photo_hidden_in_an_import(people: Folders) -> None:
    people |= newcomers(60)
    people[ANN].append("Stranger 0")


POISONED: dict[Callable[[Folders], None], tuple[str, str]] = {
    swapped: ("names_keep_faces", f"--acknowledge 'Ann Example' --acknowledge '{ZOE}'`, which writes `Acknowledge-Person: Ann Example`"),
    rotated: ("names_keep_faces", "with the face that production has under this name"),
    a_stranger_for_ann: ("names_keep_faces", "Ann Example: the photos agree at"),
    an_enrolled_person_for_ann: ("names_keep_faces", "with that of Person3"),
    a_strangers_photo_added: ("photos_agree", "Ann Example/Stranger 0.jpg agrees at"),
    anothers_photo_added: ("photos_agree", "with Person3: the wrong person, or the wrong face of the photo"),
    a_photo_moved: ("photos_agree", "Ann Example/Person3 2.jpg agrees at"),
    flooded: ("photos_agree", "`Acknowledge-Person: Ann Example`"),
    all_but_one_replaced: ("photos_agree", "Stranger 3.jpg"),
    a_second_name: ("one_name_a_face", "one person from"),
    two_new_names: ("one_name_a_face", "Eve and Yves agree at"),
    two_people_under_a_new_name: ("photos_agree", "Eve/Other 0.jpg agrees at"),
    renamed: ("names_keep_faces", "Eve has photos of Ann Example, who is no longer enrolled: a rename"),
    renamed_with_new_photos: ("names_keep_faces", "with Ann Example, who is no longer enrolled"),
    blurred: ("photos_good", "sharpness"),
    tiny: ("photos_good", "pixels of face 20, gallery.min_face asks for 32"),
    doubtful: ("photos_good", "detection probability 0.8, gallery.min_probability asks for 0.9"),
    faceless: ("photos_good", "Eve has no photo with a usable face"),
    anothers_file: ("photos_good", "Eve has no photo with a usable face, filed under this name alone"),
    three_gone: ("people_stay", "Person0 is not there any more"),
    all_but_one_gone: ("people_stay", "gallery.max_vanished allows 1"),
    a_face_lost: ("people_stay", "Ann Example has no usable photo any more"),
    in_another_spelling: ("photos_agree", "Stranger 0.jpg"),
    a_second_owner_gone: ("photos_agree", "Person21/Stranger 10.jpg agrees at"),
    hidden_in_an_import: ("names_keep_faces", "Ann Example: the photos agree at"),
    a_photo_hidden_in_an_import: ("photos_agree", "Ann Example/Stranger 0.jpg"),
}


@pytest.mark.parametrize("poison", POISONED, ids=lambda poison: poison.__name__)
def test_a_poisoned_commit_is_refused(team: Team, poison: Callable[[Folders], None]) -> None:
    people = team.back()
    poison(people)
    check, sentence = POISONED[poison]
    refused = team.judge(team.commit("Change people", people))
    assert sentence in refused.get(check, ""), refused


@pytest.mark.parametrize(
    "text",
    [
        message(ANN),
        f"Change people\n\n{trailer(ANN)}\n{trailer(ZOE)}\n\nThat was no trailer, this is the last paragraph.",
        message("Ann", "Zoë", f"{ANN}, {ZOE}", "\x1b[2J", "x" * 2000),
    ],
    ids=["one of two", "not a trailer", "other names"],
)
def test_a_swap_that_is_not_acknowledged_as_a_whole_is_refused(team: Team, text: str) -> None:
    people = team.back()
    swapped(people)
    assert ZOE in team.judge(team.commit(text, people))["names_keep_faces"]


def honest() -> Iterator[tuple[str, Folders, list[str]]]:
    """Fifty commits: what they are, what they change ("" for a removal), and whom they acknowledge."""
    for number in range(10):
        yield "addition", {f"New{number}": photos_of(f"New{number}", *range(number % 3 + 1))}, []
        yield "another photo", {f"Person{number}": photos_of(f"Person{number}", 0, 1, 2, 7)}, []
    for number in range(6):
        name = f"Person{number}"
        yield "correction of one photo", {name: photos_of(name, 0, 1, 8)}, []
        yield "removal of a photo", {name: photos_of(name, 0, 2)}, []
        yield "removal of a person", {name: []}, [name]
        yield "rename", {name: [], f"Dr. {name}": photos_of(name)}, [name, f"Dr. {name}"]
    yield "newer photos alone", {ANN: photos_of(keys(ANN), 5, 6)}, []
    yield "another face under the name", {ANN: photos_of("Namesake")}, [ANN]
    yield "a twin", {"Anne": photos_of(f"{keys(ANN)}'s-twin", 5, 6)}, ["anne"]
    yield "an import", newcomers(60), []
    yield "a poor photo, where it is meant", {"Eve": ["Stranger 0 blurred"]}, ["Eve"]
    yield "nothing", {}, []


HONEST = list(honest())


def test_honest_commits_pass(team: Team) -> None:
    assert len(HONEST) == 50
    refused = {}
    for number, (kind, change, acknowledged) in enumerate(HONEST):
        people = {name: photos for name, photos in (team.back() | change).items() if photos}
        refused[number, kind] = team.judge(team.commit(message(*acknowledged), people))
    assert {case: found for case, found in refused.items() if found} == {}


def test_an_acknowledgement_may_follow_the_refused_commit_and_holds_until_the_next_release(team: Team) -> None:
    people = team.back()
    swapped(people)
    assert "names_keep_faces" in team.judge(team.commit("Change people", people))
    assert team.judge(team.commit(message(ANN.upper(), ZOE), people)) == {}
    assert team.judge(team.commit("Something else", people | newcomers(1))) == {}


def test_an_acknowledgement_covers_no_change_after_its_commit(team: Team) -> None:
    people = team.back()
    team.commit(message(ANN), people | {ANN: photos_of("Namesake")})
    assert ANN in team.judge(team.commit("Change people", people | {ANN: photos_of("Stranger")}))["names_keep_faces"]


def test_a_change_is_reported_where_the_parameters_ask_for_no_refusal(team: Team) -> None:
    people = team.back()
    swapped(people)
    file = team.clone / "params.yaml"
    file.write_text(file.read_text() + "gallery: {action: report}\n")
    team.log.clear()
    assert team.judge(team.commit("Change people", people)) == {}
    assert any("names_keep_faces: reported, not refused" in line for line in team.log)


def test_a_verdict_made_while_productions_list_was_unreachable_is_made_again_with_it(team: Team) -> None:
    people = team.back()
    pointer = team.workspace.repository.pointer(team.base, "gallery")
    assert pointer is not None
    listing = team.clone / ".dvc" / "cache" / "files" / "md5" / pointer.md5[:2] / pointer.md5[2:]
    commit = team.commit("Enrol one", people | newcomers(1))
    aside, gallery = team.folder / "listing", team.enrol(commit)
    listing.rename(aside)
    changed = []
    for _ in range(2):
        verdict = judge_gallery(team.workspace, commit, team.evaluation, team.exported, gallery, team.log.append)
        changed.append(verdict.summary["changed"])
        if aside.is_file():
            aside.rename(listing)
    assert changed == [len(people), 0]


def test_a_name_does_not_get_another_face_by_a_removal_and_an_addition(team: Team) -> None:
    people, first, base = team.back(), team.workspace.stages.production(), team.base
    assert first is not None
    without = {name: photos for name, photos in people.items() if name != ANN}
    try:
        assert team.judge(team.commit("Remove one person of many", without)) == {}
        team.release()
        refused = team.judge(team.commit("Enrol a person", without | {ANN: photos_of("Stranger")}))
        assert "Ann Example was enrolled up to v1.0.0 and is enrolled anew with other photos" in refused.get("names_keep_faces", ""), (
            refused
        )
        assert team.judge(team.commit("Bring the person back", people)) == {}
    finally:
        team.base = base
        team.workspace.stages.assign(first.release.version, gate_message(LET_THROUGH, base))


def test_a_name_does_not_get_another_face_in_small_steps(team: Team) -> None:
    people, first, base = team.back(), team.workspace.stages.production(), team.base
    assert first is not None
    half, other = people | {ANN: photos_of(f"{keys(ANN)}&Stranger")}, people | {ANN: photos_of("Stranger")}
    try:
        assert team.judge(team.commit("Exchange a person's photos", half)) == {}
        team.release()
        refused = team.judge(team.commit("Exchange a person's photos", other))
        assert "with the face that v1.0.0 has under this name" in refused.get("names_keep_faces", ""), refused
        assert "with Ann Example of v1.0.0" in refused.get("photos_agree", ""), refused
        assert team.judge(team.commit(message(ANN), other)) == {}
    finally:
        team.base = base
        team.workspace.stages.assign(first.release.version, gate_message(LET_THROUGH, base))


def test_a_gallery_that_is_removed_is_judged_as_strictly_and_says_so(team: Team) -> None:
    team.back()
    git("rm", "-q", "gallery.dvc", cwd=team.clone)
    git("commit", "-q", "-m", "Remove the gallery", cwd=team.clone)
    team.workspace.repository.refresh()
    team.log.clear()
    assert "people_stay" in team.judge(team.head())
    assert any("gallery.dvc of v1.0.0 is gone: photos.dvc is judged as strictly" in line for line in team.log)


def test_the_run_of_a_poisoned_commit_is_refused_and_that_of_an_honest_one_is_done(team: Team) -> None:
    upstream = {
        "label_audit": team.audited,
        "gallery_audit": team.gallery_audit,
        "embedder_evaluation": team.evaluation,
        "exported_embedder": team.exported,
    }

    def made(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, partitions_def=commits)
        def artifact() -> Artifact:
            return upstream[name]

        return artifact

    words = {}
    for change in (swapped, lambda people: people.update(newcomers(2))):
        people = team.back()
        change(people)
        commit = team.commit("Change people", people)
        with dg.DagsterInstance.ephemeral() as instance:
            add_commit(instance, commit)
            dg.materialize(
                [*map(made, upstream), assets.face_gallery],
                instance=instance,
                resources={"platform": WorkspaceResource(), "io_manager": dg.mem_io_manager},
                partition_key=commit,
                raise_on_error=False,
            )
            outcome = read_outcome(instance, instance.get_run_records()[0])
        words[outcome.word] = outcome.reason
    assert set(words) == {"refused", "done"}
    assert "Ann Example: the photos agree at" in words["refused"] and "`Acknowledge-Person: Ann Example`" in words["refused"]
