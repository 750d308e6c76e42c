"""What is read, under which name, in which order."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longctx.errors import EmptyCorpusError, Stopped
from longctx.jobs import Job
from longctx.sources import read
from longctx.sources.files import FileReader
from longctx.sources.tree import git as git_module
from longctx.sources.tree.listing import listing


def _met(corpus):
    return {row.path for row in corpus.manifest}


def _git_list(folder):
    output = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=folder, check=True, capture_output=True)
    return {os.fsdecode(name) for name in output.stdout.split(b"\0") if name}


# -- the list --------------------------------------------------------------------------------------------------------
TRICKY = {
    ".gitignore": "*.log\n!keep.log\nbuild/\n/top.txt\n",
    "a.py": "x = 1\n",
    "noise.log": "n\n",
    "keep.log": "k\n",
    "top.txt": "t\n",
    "sub/top.txt": "t\n",
    "build/out.txt": "o\n",
    "sub/.gitignore": "!noise.log\nprivate\n",
    "sub/noise.log": "n\n",
    "sub/private": "p\n",
    "sub/deep/private/x.txt": "x\n",
    "with space and ünï.txt": "u\n",
    b"latin\xe9.txt": "l\n",
    "new\nline.txt": "l\n",
}


def test_a_repository_is_listed_exactly_as_git_does(repository, git, write):
    top = repository(TRICKY)
    git(top, "add", "-f", "build/out.txt")  # tracked although ignored
    write({"untracked.txt": "u\n", "info.txt": "i\n", ".git/info/exclude": "info.txt\n"})
    corpus = read(top)
    assert _met(corpus) == _git_list(top)
    assert {"build/out.txt", "untracked.txt", "sub/noise.log", os.fsdecode(b"latin\xe9.txt"), "new\nline.txt"} <= _met(corpus)
    assert not {"info.txt", "noise.log", "sub/private"} & _met(corpus)


def test_a_folder_inside_a_repository_is_listed_as_git_does_there(repository):
    top = repository(TRICKY)
    assert _met(read(top / "sub")) == _git_list(top / "sub") == {"top.txt", ".gitignore", "noise.log"}


def test_an_ignored_folder_that_is_named_is_read(repository, rows):
    top = repository({".gitignore": "build/\n", "a.txt": "a\n", "build/out.txt": "o\n"})
    manifest = rows(read(top / "build"))
    assert manifest["out.txt"].status == "read"
    assert "git ignores this folder" in manifest["."].reason


def test_a_worktree_is_listed_by_its_own_git(repository, git, tmp_path):
    top = repository({"a.txt": "a\n"})
    git(top, "worktree", "add", "-q", str(tmp_path / "other"))
    assert _met(read(tmp_path / "other")) == {"a.txt"}


def test_a_git_that_was_started_elsewhere_does_not_leak_in(repository, write, monkeypatch):
    top = repository({"a.txt": "a\n"})
    other = write({"b.txt": "b\n"}, "other")
    monkeypatch.setenv("GIT_DIR", str(top / ".git"))
    assert _met(read(other)) == {"b.txt"}


def test_settings_of_a_repository_run_no_program(repository, git, tmp_path):
    top = repository({"a.txt": "a\n", ".gitattributes": "*.txt filter=evil\n"})
    mark = tmp_path / "ran"
    for setting in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "diff.external"):
        git(top, "config", setting, f"touch {mark}")
    (top / "a.txt").write_text("b\n")
    assert read(top).sources
    assert not mark.exists()


def test_another_repository_inside_is_met_and_not_entered(repository, git, write, rows):
    top = repository({"a.txt": "a\n"})
    git(write({"inner/b.txt": "b\n"}) / "inner", "init", "-q")
    manifest = rows(read(top))
    assert set(manifest) == {"a.txt", "inner"}
    assert manifest["inner"].reason.startswith("a git repository of its own")


def test_outside_git_nested_rules_hold_and_git_folders_are_never_read(write):
    top = write({**TRICKY, "sub/.git/config": "secret\n", "sub/deep/.git": "gitdir: elsewhere\n"})
    hidden = {"noise.log", "top.txt", "build/out.txt", "sub/private", "sub/deep/private/x.txt"}
    everything = {os.fsdecode(name) for name in TRICKY}
    assert _met(read(top)) == everything - hidden


def test_broken_patterns_of_a_gitignore_are_passed_over(write):
    top = write({".gitignore": b"!\n\xff\n//\n*.log\n", "a.log": "a\n", "b.txt": "b\n"})
    assert _met(read(top)) == {".gitignore", "b.txt"}


def test_without_git_its_rules_are_applied_and_that_is_said(repository, rows, monkeypatch):
    top = repository({".gitignore": "*.log\nsub/x\n", "a.txt": "a\n", "a.log": "a\n", "sub/b.txt": "b\n", "sub/x": "x\n"})
    monkeypatch.setenv("PATH", os.devnull)
    manifest = rows(read(top))
    assert set(manifest) == {".", ".gitignore", "a.txt", "sub/b.txt"}
    assert "git does not start" in manifest["."].reason
    assert set(rows(read(top / "sub"))) == {".", "b.txt"}, "rules above the folder hold too"


def test_a_repository_of_somebody_else_is_read_without_git(repository, rows, monkeypatch):
    top = repository({".gitignore": "*.log\n!b.tmp\n", "a.txt": "a\n", "a.log": "a\n", "sub/c.txt": "c\n"})
    for name in ("a.tmp", "b.tmp", "sub/c.tmp"):
        (top / name).write_text("kept for oneself\n")
    (top / ".git" / "info" / "exclude").write_text("*.tmp\n")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    manifest = rows(read(top))
    assert "dubious ownership" in manifest["."].reason
    assert set(manifest) == {".", ".gitignore", "a.txt", "b.tmp", "sub/c.txt"}
    assert set(rows(read(top / "sub"))) == {".", "c.txt"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("place", [".gitignore", "sub/.gitignore", ".git/info/exclude"])
def test_a_pipe_in_the_place_of_rules_does_not_make_this_wait(repository, rows, monkeypatch, place):
    monkeypatch.setattr("longctx.sources.tree.git._PATIENCE", 0.5)
    top = repository({"a.txt": "a\n", "sub/b.txt": "b\n"})
    (top / place).unlink(missing_ok=True)
    os.mkfifo(top / place)
    manifest = rows(read(top))
    assert "is a named pipe" in manifest["."].reason
    assert {name for name, row in manifest.items() if row.status == "read"} == {".", "a.txt", "sub/b.txt"}


names = st.sampled_from(["a", "b", "c.x", "d.y"])
patterns = st.sampled_from(
    ["a", "b/", "*.x", "!c.x", "/a", "a/b", "**/b", "a/**", "!a/", "!*.y", "*", "!/b", "d.?", "[ab]", "\\!a", "c.x "]
)
trees = st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.just("x\n"), min_size=1, max_size=8)
rules = st.dictionaries(
    st.lists(st.sampled_from(["a", "b"]), max_size=2).map(lambda parts: "/".join([*parts, ".gitignore"])),
    st.lists(patterns, min_size=1, max_size=4).map("\n".join),
    max_size=3,
)


@given(trees, rules)
@example({"c.x/a/b": "x\n"}, {".gitignore": "a\n!c.x"})
@settings(max_examples=60, deadline=None)
def test_a_walk_by_the_rules_finds_what_git_lists(tree, ignores):
    with tempfile.TemporaryDirectory() as folder:
        top = Path(os.path.realpath(folder))
        for name, text in {**tree, **ignores}.items():
            file = top / name
            if not any(parent.is_file() for parent in file.parents) and not file.is_dir():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        walked = {found.name for found in listing(str(top)).found}
        subprocess.run(["git", "init", "-q", folder], check=True)
        assert walked == _git_list(top)


# -- the user's choice -----------------------------------------------------------------------------------------------
def test_patterns_choose_and_every_path_left_out_has_a_row(write, rows):
    top = write({"a.py": "a\n", "b.txt": "b\n", "docs/c.py": "c\n", "docs/api/d.py": "d\n"})
    manifest = rows(read(top, include=["*.py"], exclude=["docs/", "!docs/api/"]))
    assert manifest["a.py"].status == "read"
    assert (manifest["b.txt"].status, manifest["b.txt"].reason) == ("skipped", "not in include")
    assert (manifest["docs/c.py"].status, manifest["docs/c.py"].reason) == ("skipped", "left out by exclude")
    assert rows(read(top, include="*.py"))["docs/api/d.py"].status == "read"


def test_a_file_that_is_named_is_read_even_if_ignored(repository):
    top = repository({".gitignore": "*.log\n", "a.log": "a\n"})
    assert _met(read(top / "a.log", include=["*.py"])) == {"a.log"}


def test_several_roots_are_told_apart_by_their_names(write):
    first = write({"src/a.py": "a\n"}, "one")
    second = write({"src/a.py": "b\n", "notes.md": "# n\n"}, "two")
    corpus = read(first / "src", second / "src", second / "notes.md")
    assert [source.path for source in corpus.sources] == ["one/src/a.py", "two/src/a.py", "notes.md"]
    assert corpus.files["two/src/a.py"] == str(second / "src" / "a.py")


def test_names_that_clash_in_the_end_are_numbered(write):
    top = write({"x/README.md": "# a\n", "q/x/README.md": "# b\n", "r/README.md": "# c\n"})
    paths = [source.path for source in read(top / "x", top / "q/x/README.md", top / "r/README.md").sources]
    assert paths == ["x/README.md", "x/README.md~2", "r/README.md"]


def test_a_file_reached_twice_is_read_once(write, rows):
    top = write({"lib/a.py": "a\n", "b.py": "b\n"})
    (top.parent / "door").symlink_to(top)
    corpus = read(top, top / "lib" / "a.py", top / "lib", top, top.parent / "door")
    manifest = rows(corpus)
    assert sorted(source.path for source in corpus.sources) == ["tree/b.py", "tree/lib/a.py"]
    assert manifest["a.py"].reason == "duplicate of tree/lib/a.py"
    assert manifest["lib/a.py"].reason == "duplicate of tree/lib/a.py"
    assert manifest[str(top)].reason == manifest[str(top.parent / "door")].reason == "duplicate: it was given more than once"


@pytest.mark.parametrize("form", [str, os.fsencode, Path], ids=["text", "bytes", "path"])
def test_paths_may_be_text_bytes_or_path_objects(write, form):
    top = write({"a.txt": "a\n"})
    assert _met(read(form(str(top)))) == {"a.txt"}


def test_the_home_folder_is_expanded(write, monkeypatch):
    top = write({"a.txt": "a\n"})
    monkeypatch.setenv("HOME", str(top))
    assert _met(read("~")) == _met(read(b"~/a.txt")) == {"a.txt"}


# -- the order -------------------------------------------------------------------------------------------------------
def _order(top):
    return [source.path for source in read(top).sources]


def test_what_changes_rarely_comes_first(repository, git, write):
    top = repository({"z.txt": "old\n", "m.txt": "old\n", "b.txt": "old\n", "edited.txt": "old\n", "staged.txt": "old\n"})
    for when, name in ((1_700_000_100, "m.txt"), (1_700_000_200, "b.txt")):
        write({name: "newer\n"})
        git(top, "commit", "-q", "-a", "-m", "change", when=when)
    git(top, "commit", "-q", "--allow-empty", "-m", "nothing", when=1_700_000_300)
    assert _order(top) == ["edited.txt", "staged.txt", "z.txt", "m.txt", "b.txt"]
    write({"edited.txt": "now\n", "staged.txt": "now\n", "a-new.txt": "now\n"})
    git(top, "add", "staged.txt")
    assert _order(top) == ["z.txt", "a-new.txt", "m.txt", "b.txt", "edited.txt", "staged.txt"]


def test_a_commit_that_touched_many_files_says_little_of_each(repository, git, write):
    names = [f"{letter}.txt" for letter in "abcdefgh"]
    top = repository(dict.fromkeys(names, "old\n"))
    write({"c.txt": "one\n"})
    git(top, "commit", "-q", "-a", "-m", "c", when=1_700_000_100)
    for when, text in ((1_700_000_200, "two\n"), (1_700_000_300, "six\n")):
        write({name: text for name in names if name != "c.txt"})
        git(top, "commit", "-q", "-a", "-m", "many", when=when)
    assert _order(top)[-1] == "c.txt"


def test_of_files_that_change_nearly_as_often_the_larger_comes_first(repository, git, write):
    top = repository({"a.txt": "a\n", "z.txt": "z\n" * 500})
    for when, name, text in ((1_700_000_100, "a.txt", "b\n"), (1_700_000_200, "z.txt", "y\n" * 500)):
        write({name: text})
        git(top, "commit", "-q", "-a", "-m", name, when=when)
    assert _order(top) == ["z.txt", "a.txt"]


def test_files_of_the_same_commits_are_ordered_by_name_whatever_their_size(repository, git, write):
    sizes = {"a.txt": 1, "b/z.txt": 900, "c.txt": 30, "d.txt": 400}
    top = repository({name: "x\n" * size for name, size in sizes.items()})
    assert _order(top) == [*sizes]
    write({name: "y\n" * sizes[name] for name in ("a.txt", "d.txt")})
    git(top, "commit", "-q", "-a", "-m", "both", when=1_700_000_100)
    assert _order(top) == ["b/z.txt", "c.txt", "a.txt", "d.txt"]


def test_neither_an_edit_nor_its_commit_reorders_what_was_not_touched(repository, git, write):
    names = [f"{letter}.txt" for letter in "abcdefgh"]
    top = repository({name: name * (place + 1) + "\n" for place, name in enumerate(names)})
    for change in range(30):
        name = names[(change * change) % 7]
        before = [other for other in _order(top) if other != name]
        write({name: f"{change}\n" * (change + 1)})
        assert [other for other in _order(top) if other != name] == before
        git(top, "commit", "-q", "-a", "-m", name, when=1_700_000_100 + change)
        assert [other for other in _order(top) if other != name] == before


def test_what_was_changed_often_long_ago_keeps_its_place_beside_what_was_changed_once_since(repository, git, write):
    top = repository({"often.txt": "o" * 200 + "\n", "once.txt": "n\n", "other.txt": "x\n"})
    changes = ["often"] * 12 + ["once"] + ["other"] * 24
    orders = []
    for when, name in enumerate(changes):
        write({f"{name}.txt": f"{when:02}" * (100 if name == "often" else 1) + "\n"})
        git(top, "commit", "-q", "-a", "-m", name, when=1_700_000_100 + when)
        orders.append([path for path in _order(top) if path != "other.txt"])
    assert len(set(map(tuple, orders[13:]))) == 1


def test_a_file_that_was_only_touched_keeps_its_place(repository, git):
    top = repository({"a.txt": "a\n", "b.txt": "b\n"})
    (top / "b.txt").write_text("new\n")
    git(top, "commit", "-q", "-a", "-m", "b", when=1_700_000_100)
    os.utime(top / "a.txt", (1_800_000_000, 1_800_000_000))
    assert [source.path for source in read(top).sources] == ["a.txt", "b.txt"]


def test_history_of_a_folder_inside_a_repository_orders_it(repository, git, write):
    top = repository({"sub/a.txt": "a\n", "sub/new\nline": "a\n", "sub/z.txt": "z\n"})
    write({"sub/a.txt": "newer\n", "sub/new\nline": "newer\n"})
    git(top, "commit", "-q", "-a", "-m", "a", when=1_700_000_100)
    assert [source.path for source in read(top / "sub").sources] == ["z.txt", "a.txt", "new\nline"]


def test_beyond_the_last_commits_looked_at_files_are_the_oldest(repository, git, write, monkeypatch):
    top = repository({"a.txt": "a\n", "b.txt": "b\n", "z.txt": "z\n"})
    for when, name in ((1_700_000_100, "a.txt"), (1_700_000_200, "b.txt")):
        write({name: "newer\n"})
        git(top, "commit", "-q", "-a", "-m", name, when=when)
    monkeypatch.setattr(git_module, "MAX_COMMITS", 1)
    assert [source.path for source in read(top).sources] == ["a.txt", "z.txt", "b.txt"]


def test_a_repository_without_a_commit_is_ordered_by_name(write, git):
    top = write({"b.txt": "b\n", "a.txt": "a\n"})
    git(top, "init", "-q")
    git(top, "add", "b.txt")
    assert [source.path for source in read(top).sources] == ["a.txt", "b.txt"]


# -- collections of garbage ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("on", [True, False])
def test_garbage_is_collected_after_a_read_as_before_it_and_not_while_it_runs(write, monkeypatch, on):
    top = write({"a.txt": "a\n", "b.txt": "b\n"})
    seen = []
    parse = FileReader.read

    def noted(self, *arguments, **options):
        seen.append(gc.isenabled())
        return parse(self, *arguments, **options)

    monkeypatch.setattr(FileReader, "read", noted)
    try:
        gc.enable() if on else gc.disable()
        read(top)
        after = gc.isenabled()
        with pytest.raises(EmptyCorpusError):
            read(top, exclude="*")
        assert (seen, after, gc.isenabled()) == ([False, False], on, on)
    finally:
        gc.enable()


# -- progress --------------------------------------------------------------------------------------------------------
def test_a_job_hears_of_every_file_and_can_stop_between_two(write):
    top = write({f"{number}.txt": "x\n" for number in range(5)})
    seen = []

    def work(job):
        job.watch(lambda: seen.append((job.progress.stage, job.progress.done, job.progress.total, job.progress.unit)))
        return read(top, job=job)

    job = Job(work, title="read")
    job.run()
    assert len(job.result().sources) == 5
    assert ("read", 3, 5, "files") in seen
    assert ("read", 5, 5, "files") in seen

    stopped = Job(lambda job: job.watch(lambda: job.progress.done == 2 and job.cancel()) and read(top, job=job), title="read")
    stopped.run()
    with pytest.raises(Stopped):
        stopped.result()
    assert stopped.progress.done == 2


def test_special_files_are_named_and_never_opened(write, rows):
    top = write({"a.txt": "a\n"})
    os.mkfifo(top / "pipe")
    manifest = rows(read(top))
    assert manifest["pipe"].reason == "a named pipe: never opened"
    assert stat.S_ISFIFO(os.stat(top / "pipe").st_mode)
