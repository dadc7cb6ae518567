"""The steps of an erasure in their order: each can be killed and done again, and is recorded in the journal when it is done."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.rights import outside
from face_assets.dataset.photo_folders import person_key
from face_assets.erasure import state
from face_assets.erasure.alike import keep_vectors, similar_vectors
from face_assets.erasure.certificate import write_certificate
from face_assets.erasure.heads import commit_without
from face_assets.erasure.journal import Journal
from face_assets.erasure.person import config_commits
from face_assets.erasure.plan import release_files
from face_assets.erasure.rewriting import rewrite_history
from face_assets.erasure.scan import scan_all
from face_assets.event_log import databases
from face_assets.monitoring.feedback import INBOX, PHOTOS
from face_assets.registry.dvc_objects import caches, erase_from_cache, erase_objects
from face_assets.registry.git import GitError, git
from face_assets.registry.person import Person
from face_assets.registry.workspace import Log, Workspace
from face_assets.serving.docker_steps import containers_started, images
from face_assets.serving.steps import target
from face_assets.storage.store_upkeep import erase_person, rows_of


@dataclass(frozen=True)
class Erasure:
    """An erasure that is under way.

    make_live: runs a commit up to its deployment and returns the reasons for which it did not get there; under_way: names of runs that
    may still read what is to be erased; deploy: deploys the release in production again, and returns such reasons.
    """

    workspace: Workspace
    journal: Journal
    make_live: Callable[[str], list[str]]
    under_way: Callable[[], list[str]]
    deploy: Callable[[], list[str]]
    log: Log

    def run(self, only: str | None = None) -> Path | None:
        """Does the steps that are not done, and returns the certificate; with `only` that one step, and returns None.

        Raises UserError; run again, it goes on.
        """
        for name, step in STEPS.items():
            if name not in self.journal.done and only in (None, name):
                self.log(SENTENCES[name])
                step(self)
        return None if only else write_certificate(self.workspace, self.journal)

    @property
    def author(self) -> Person:
        """The person at whose request it is done."""
        return Person(**self.journal.facts["by"])

    def releases(self) -> list[str]:
        """The commits of the releases that know the person."""
        return [one["commit"] for one in self.journal.facts["releases"]]

    def commit_heads(self) -> None:
        """Takes the person out of every branch's head."""
        made: dict[str, list[str]] = {}
        keep_vectors(self.workspace, self.journal.traces, self.journal.folder)
        repository, journal = self.workspace.repository, self.journal
        for branch, folders in journal.facts["heads"].items():
            if branch in repository.mirrored_heads():
                commits = commit_without(repository, branch, tuple(folders), journal.traces, journal.pseudonym, self.author)
                made |= {branch: [*commits]} if commits else {}
        journal.end_step("heads", {"commits": made, "inbox": self._empty_inboxes()})

    @outside()
    def _empty_inboxes(self) -> int:
        """Removes feedback about the person that nobody has committed yet, and its photos; returns the number of files."""
        removed = 0
        for root in self._working_trees():
            for file in (root / INBOX).glob("*.json"):
                with suppress(ValueError, OSError, AttributeError):  # a file that is no feedback
                    facts = json.loads(file.read_bytes())
                    named = [name for name in (facts.get("answered"), facts.get("truth")) if isinstance(name, str)]
                    if any(person_key(name) in self.journal.traces.keys for name in named):
                        for one in (root / INBOX / PHOTOS / Path(str(facts.get("photo") or "none")).name, file):
                            removed += one.is_file()
                            one.unlink(missing_ok=True)
        return removed

    def _working_trees(self) -> list[Path]:
        local = self.workspace.repository.local
        if local is None:
            return []
        with suppress(GitError):
            listed = git("worktree", "list", "--porcelain", "-z", cwd=local).decode(errors="surrogateescape")
            return [Path(line.partition(" ")[2]) for line in listed.split("\0") if line.startswith("worktree ")]
        return [local]

    def replace_live(self) -> None:
        """Has a release without the person made and deployed, where the one in production or on the server knows the person."""
        ran: list[str] = []
        reasons: list[str] = []
        if still := self._knowing():
            for commit in self.workspace.production_heads():
                ran.append(commit)
                reasons = self.make_live(commit)
                self.workspace.repository.refresh()
                if not (still := self._knowing()):
                    break
            else:
                why = "; ".join(reasons) if ran else "no branch of production is there"
                raise UserError(
                    f"{still} still knows the person, for no other release went live ({why}). Mend that, or `face-assets promote` the "
                    "release without the person, and run again: the erasure goes on."
                )
        now = self.workspace.stages.production()
        self.journal.end_step("live", {"runs": ran, "production": now.release.version if now else None}, replaced=True)

    def _knowing(self) -> str | None:
        """The release that knows the person and is in production, or on this machine's server."""
        production, known = self.workspace.stages.production(), set(self.releases())
        live = target(self.workspace).status().live
        if production and production.release.commit in known:
            return production.release.version
        return live.release if live and live.release_commit in known else None

    def deprecate(self) -> None:
        """Deprecates the releases that know the person, and notes which objects of DVC are theirs alone."""
        workspace, known = self.workspace, set(self.releases())
        every = workspace.releases.with_deprecated()
        for release in every:
            if release.commit in known:
                message = f"{release.version} knows a person who was erased: {self.journal.pseudonym}"
                workspace.releases.deprecate(release, message, self.author)
        listed = release_files(workspace, every)
        theirs = {file.md5 for commit, files in listed.items() for file in files if commit in known}
        others = {file.md5 for commit, files in listed.items() for file in files if commit not in known}
        objects = {*self.journal.facts["md5s"], *self.journal.facts["listings"], *(theirs - others)}
        self.journal.end_step("tags", {"deprecated": len(known)}, objects=sorted(objects))

    def erase_images(self) -> None:
        """Removes the images of the releases, and the copies of their files that BuildKit keeps."""
        removed = 0
        if containers_started(self.workspace):
            removed = images(self.workspace).erase_releases(set(self.releases()))
        self.journal.end_step("images", {"removed": removed})

    def rewrite(self) -> None:
        """Rewrites the git history without the person, where that is wanted."""
        if not self.journal.facts.get("rewrite_history"):
            self.journal.end_step("history", {"rewritten": False})
            return
        self._require_nobody_reads()
        facts = rewrite_history(self.workspace, self.journal)
        production, live = self.workspace.stages.production(), target(self.workspace).status().live
        if production and live and live.release_commit != production.release.commit and (reasons := self.deploy()):
            raise UserError(
                f"{production.release.version} was not deployed by its new id ({'; '.join(reasons)}): mend that, and run again."
            )
        self.journal.end_step("history", {"rewritten": True, **facts})

    def _require_nobody_reads(self) -> None:
        if busy := self.under_way():
            raise UserError(f"{', '.join(busy)} may still read what is to be erased: wait for the end, or cancel it, and run again.")

    def erase_remotes(self) -> None:
        """Erases the objects from every DVC remote, with all versions."""
        repository = self.workspace.repository
        found = erase_objects(repository, config_commits(repository), self.journal.facts["objects"])
        left = [one for one in found if one.left]
        if left:
            raise UserError(
                f"{left[0].left} objects are still in the DVC remote {left[0].remote} ({left[0].address}): an object lock or the rights of "
                "this machine keep them. Mend that, and run again."
            )
        self.journal.end_step("remotes", {"remotes": [asdict(one) for one in found]})

    def erase_caches(self) -> None:
        """Erases the objects from the DVC caches on this machine."""
        with outside():
            removed = [erase_from_cache(cache, self.journal.facts["objects"]) for cache in caches(self.workspace.repository)]
        self.journal.end_step("caches", {"caches": len(removed), "objects": sum(removed), "indexes": self._erase_indexes()})

    def _erase_indexes(self) -> int:
        """Removes what DVC remembers of the folders of the user's clone, which has the names of the files; returns their number."""
        from dvc.repo import Repo

        removed = 0
        for root in self._working_trees():
            with suppress(Exception), Repo(str(root)) as repo:  # a working tree without DVC has none
                removed += state.erase_index(Path(repo.site_cache_dir))
        return removed

    def erase_artifacts(self) -> None:
        """Removes what this machine made with the person."""
        self._require_nobody_reads()
        workspace, traces = self.workspace, self.journal.traces
        facts = {
            "bundles": state.erase_releases(workspace, self.releases()),
            "artifacts": state.erase_artifacts(workspace, traces, self.journal.facts["commits"]),
            "checkpoints": state.erase_trainings(workspace),
        }
        self.journal.end_step("artifacts", facts)

    def erase_stores(self) -> None:
        """Removes the person's entries from the content stores."""
        self.journal.end_step("stores", {"entries": state.erase_stores(self.workspace, self.journal.traces)})

    def erase_shared(self) -> None:
        """Removes the person's rows and artifacts from the store that machines share, and has no machine add such rows again."""
        shared, artifacts = self.workspace.home.shared, self.workspace.home.artifacts
        if shared is None:
            return self.journal.end_step("shared", {"store": None})

        def kept(kind: str, fingerprint: str) -> Path | None:
            found = artifacts.find(kind, fingerprint)
            return found.directory if found else None

        done = erase_person(shared, self.journal.pseudonym, self.journal.traces.md5s, kept)
        return self.journal.end_step("shared", {"store": shared.address, **done})

    def redact(self) -> None:
        """Puts the pseudonym into logs and databases."""
        traces, pseudonym = self.journal.traces, self.journal.pseudonym
        facts = state.redact_state(self.workspace, traces, pseudonym)
        for address in databases.addresses(self.workspace.home):
            facts["rows"] += databases.rewrite(address, lambda text: traces.redacted_row(text, pseudonym))
        self.journal.end_step("logs", facts)

    def verify(self) -> None:
        """Looks for traces everywhere once more. Raises UserError where there are some."""
        found = scan_all(self.workspace, self.journal.traces, self.journal.pseudonym, set(self.journal.facts.get("objects", ())))
        if (shared := self.workspace.home.shared) and (rows := rows_of(shared, self.journal.traces.md5s)):
            found.hits[shared.address] = rows
        if found.hits:
            places = ", ".join(sorted(found.hits)[:5])
            self.journal.reopen("caches", "artifacts", "stores", "shared", "logs")  # something was written meanwhile, as by a log
            raise UserError(f"Traces of the person are still in {len(found.hits)} files ({places}): run again, or see to them.")
        if found.history and self.journal.facts.get("rewrite_history"):
            self.journal.reopen("history")
            listed = ", ".join(f"{count:,} {kind}s" for kind, count in sorted(found.history.items()))
            raise UserError(f"{listed} of git name the person, for somebody has pushed the former history again: run again.")
        found.similar = similar_vectors(self.workspace, self.journal.folder)
        self.journal.end_step("scan", found.to_json())


STEPS: dict[str, Callable[[Erasure], None]] = {
    "heads": Erasure.commit_heads,
    "live": Erasure.replace_live,
    "tags": Erasure.deprecate,
    "images": Erasure.erase_images,
    "history": Erasure.rewrite,
    "remotes": Erasure.erase_remotes,
    "caches": Erasure.erase_caches,
    "artifacts": Erasure.erase_artifacts,
    "stores": Erasure.erase_stores,
    "shared": Erasure.erase_shared,
    "logs": Erasure.redact,
    "scan": Erasure.verify,
}
SENTENCES = {
    "heads": "taking the person out of every branch's head",
    "live": "having a release without the person made and deployed, where the live one knows the person",
    "tags": "deprecating the releases that know the person",
    "images": "removing images of these releases",
    "history": "rewriting the git history, where that is wanted",
    "remotes": "erasing from the DVC remotes",
    "caches": "erasing from the DVC caches",
    "artifacts": "removing artifacts, bundles and models made with the person",
    "stores": "removing crops, inspections, features and embeddings",
    "shared": "removing rows and artifacts from the store that machines share",
    "logs": "putting a pseudonym into logs and the event log",
    "scan": "looking for traces in every file",
}
