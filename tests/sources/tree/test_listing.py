"""What is listed is what git lists, byte for byte: in repositories by git, and outside of them by the rules alone."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longctx.errors import EmptyCorpusError
from longctx.sources import read
from longctx.sources.tree.listing import listing


def run(folder: bytes, *arguments: str | bytes) -> bytes:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True).stdout


def git_list(folder: bytes, which: str = "-co") -> list[bytes]:
    output = run(folder, "ls-files", "-z", which, "--exclude-standard")
    return sorted({name for name in output.split(b"\0") if name})


def listed(folder: bytes) -> list[bytes]:
    return sorted(os.fsencode(found.name) for found in listing(os.fsdecode(folder)).found)


# -- trees -----------------------------------------------------------------------------------------------------------
ODD = [b"a", b"b", b"A", b"c.x", b"d.y", b" a", b"a ", b"b\n", b"\xff", "é".encode(), b"!a", b"#a", b"\\a", b"[a]", b"*"]
ODD += [b"a\tb", b"a\r"]
parts = st.sampled_from(ODD)
paths = st.lists(parts, min_size=1, max_size=4).map(b"/".join)
#: What stands at a path: a file, or a link to what this says.
things = st.sampled_from([None, None, None, None, b"a", b"nowhere", b".", b"..", b"/etc/passwd", b"b/a"])
trees = st.dictionaries(paths, things, min_size=1, max_size=10)
pieces = st.sampled_from(
    [
        *ODD, b"/", b"/", b"*", b"**", b"?", b"[ab]", b"[!a]", b"[^a]", b"[a-c]", b"[]a]", b"[[:alpha:]]", b"[", b"]", b"-",
        b"!", b"#", b"\\", b" ", b"\\ ", b"\t", b"\r", b".x", b".", b"**/", b"/**",
    ]
)  # fmt: skip
lines = st.one_of(
    st.lists(pieces, min_size=1, max_size=4).map(b"".join),
    st.sampled_from([b"*", b"!a", b"!*/", b"!b/", b"a/", b"/a", b"a/b", b"**/b", b"a/**", b"*.x", b"!c.x", b"*/*", b"a/*"]),
)  # fmt: skip
rules = st.dictionaries(
    st.lists(st.sampled_from([b"a", b"b", b"A"]), max_size=2).map(lambda above: b"/".join([*above, b".gitignore"])),
    st.lists(lines, min_size=1, max_size=4),
    max_size=3,
)


def build(top: bytes, tree: Mapping[bytes, bytes | None], ignores: Mapping[bytes, Iterable[bytes]]) -> list[bytes]:
    """Make a tree; what stands in the way of something else is left out. Gives the paths that were made."""
    made = []
    contents: dict[bytes, tuple[bytes | None, bytes]] = {name: (None, b"\n".join(text)) for name, text in ignores.items()}
    contents |= {name: (target, b"x\n") for name, target in tree.items() if name not in contents}
    for name, (target, text) in contents.items():
        file = os.path.join(top, name)
        above = [os.path.join(top, *name.split(b"/")[:depth]) for depth in range(1, name.count(b"/") + 1)]
        if os.path.lexists(file) or any(os.path.islink(one) or os.path.isfile(one) for one in above):
            continue
        os.makedirs(os.path.dirname(file), exist_ok=True)
        made.append(name)
        if target is not None:
            os.symlink(target, file)
            continue
        with open(file, "wb") as stream:
            stream.write(text)
    return made


@given(trees, rules)
@example({b"c.x/a/b": None}, {b".gitignore": [b"a", b"!c.x"]})
@settings(max_examples=100, deadline=None)
def test_outside_git_the_rules_alone_find_what_git_would_list(tree, ignores):
    with tempfile.TemporaryDirectory() as folder:
        top = os.fsencode(os.path.realpath(folder))
        build(top, tree, ignores)
        walked = listed(top)
        run(top, "init", "-q")
        assert walked == git_list(top)


@given(trees, rules, st.lists(lines, max_size=2), st.data())
@settings(max_examples=60, deadline=None)
def test_every_path_that_git_lists_has_a_row_and_no_other_has(tree, ignores, exclude, data):
    with tempfile.TemporaryDirectory() as folder:
        top = os.fsencode(os.path.realpath(folder))
        made = build(top, {**tree, b"good": None}, ignores)
        run(top, "init", "-q")
        with open(os.path.join(top, b".git", b"info", b"exclude"), "wb") as stream:
            stream.write(b"\n".join(exclude))
        tracked = data.draw(st.lists(st.sampled_from(made), max_size=4, unique=True))
        run(top, "--literal-pathspecs", "add", "-f", "--", b"good", *tracked)
        run(top, "commit", "-q", "-m", "some")
        for gone in data.draw(st.lists(st.sampled_from(made), max_size=2, unique=True)):
            if gone != b"good":
                os.unlink(os.path.join(top, gone))
        rows = [os.fsencode(row.path) for row in read(os.fsdecode(top)).manifest]
        assert sorted(rows) == git_list(top)


# -- rules, one by one -----------------------------------------------------------------------------------------------
#: Names, some of which each rule hides; where pathspec alone is wrong about a rule, it says why.
NAMES = [b"a", b"b", b"-", b"]", b"7", b"\xff", "é".encode(), b"a\t", b"a ", b"a\\", b"d/a", b"d/e/a", b"ab", b"axb", b"A"]


@pytest.mark.parametrize(
    "rule",
    [
        b"[[:digit:]]",  # pathspec knows no classes
        b"?",  # one byte, not one character
        b"a\t",  # spaces alone are stripped at the end of a line
        b"a\\ ",
        b"a ",
        b"[!a]",
        b"[]-]",
        b"[a-]",
        b"[b-a]",
        b"[[:nope:]]",
        b"[a",
        b"a\\",
        b"a**",
        b"a**b",
        b"d**/a",  # two stars right behind what is plain begin a pattern
        b"**/e/",
        b"d/**",
        b"\xff",
        b"*\n!*/\n!d/*",
        b"\xef\xbb\xbfa\r\nb",
        b"a\0b",
        b"/",
        b"!",
        b"//a",
    ],
)
def test_each_rule_means_to_a_walk_what_it_means_to_git(tmp_path, rule):
    top = os.fsencode(os.path.realpath(tmp_path))
    build(top, dict.fromkeys(NAMES), {b".gitignore": [rule]})
    walked = listed(top)
    run(top, "init", "-q")
    assert walked == git_list(top)


@pytest.mark.parametrize("pattern", [b"*a" * 40 + b"b", b"**/a/" * 20 + b"b", b"**/*a/" * 20 + b"b", b"a*" * 40 + b"/b"])
def test_no_rule_takes_long_on_any_name(tmp_path, pattern):
    top = os.fsencode(os.path.realpath(tmp_path))
    build(top, {b"/".join([b"a"] * 60): None, b"a" * 200: None}, {b".gitignore": [pattern]})
    began = time.process_time()
    assert len(listed(top)) == 3
    assert time.process_time() - began < 5


# -- repositories in repositories ------------------------------------------------------------------------------------
@pytest.fixture
def with_module(repository, git, write):
    """A repository with a submodule, which has one of its own."""

    def made(folder, files):
        top = write(files, folder)
        git(top, "init", "-q")
        git(top, "add", "-A", "-f")
        git(top, "commit", "-q", "-m", "first")
        return top

    allow = ("-c", "protocol.file.allow=always", "submodule", "add", "-q")
    inner = made("inner", {"deep.txt": "d\n"})
    outer = made("outer", {"lib.txt": "l\n", ".gitignore": "*.log\n", "x.log": "x\n"})
    git(outer, *allow, str(inner), "inner")
    git(outer, "commit", "-q", "-m", "inner")
    top = repository({"main.txt": "m\n", "nested/n.txt": "n\n"})
    git(top, *allow, str(outer), "outer")
    git(top, "commit", "-q", "-m", "outer")
    git(top / "outer", "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
    return top


def test_a_submodule_has_a_row_that_says_how_to_read_it(with_module, rows):
    manifest = rows(read(with_module))
    assert set(manifest) == {".gitmodules", "main.txt", "nested/n.txt", "outer"}
    assert (manifest["outer"].kind, manifest["outer"].status) == ("folder", "skipped")
    assert "submodules=True" in manifest["outer"].reason
    assert "--submodules" in manifest["outer"].reason


def test_submodules_are_read_whole_with_what_they_track_and_not_what_they_ignore(with_module, rows, write):
    write({"outer/new.txt": "n\n", "outer/y.log": "y\n"})
    corpus = read(with_module, submodules=True)
    manifest = rows(corpus)
    theirs = {"outer/lib.txt", "outer/x.log", "outer/new.txt", "outer/.gitmodules", "outer/.gitignore", "outer/inner/deep.txt"}
    assert set(manifest) == {".gitmodules", "main.txt", "nested/n.txt"} | theirs
    tracked = run(os.fsencode(with_module), "ls-files", "-z", "-c", "--recurse-submodules").split(b"\0")
    assert {os.fsdecode(name) for name in tracked if name} | {"outer/new.txt"} == set(manifest)
    assert corpus.files["outer/inner/deep.txt"] == str(with_module / "outer" / "inner" / "deep.txt")


def test_submodules_stand_together_and_do_not_reorder_the_rest(with_module):
    alone = [source.path for source in read(with_module).sources]
    paths = [source.path for source in read(with_module, submodules=True).sources]
    assert [path for path in paths if not path.startswith("outer/")] == alone
    inside = [number for number, path in enumerate(paths) if path.startswith("outer/")]
    assert inside == list(range(inside[0], inside[-1] + 1))


def test_a_submodule_that_is_not_checked_out_says_so(with_module, rows, git, tmp_path):
    git(with_module, "worktree", "add", "-q", str(tmp_path / "other"))
    for submodules in (False, True):
        assert "git submodule update --init" in rows(read(tmp_path / "other", submodules=submodules))["outer"].reason


def test_a_repository_that_ignores_everything_in_it_lists_nothing_as_git_does(write, git):
    top = write({".gitignore": "*\n", "a.txt": "a\n"})
    git(top, "init", "-q")
    os.mkfifo(top / "pipe")  # not listed by git, and by a walk only because rules may name it
    (top / ".gitignore").write_text("*\n!pipe\n")
    found = listing(os.path.realpath(top))
    assert (found.found, found.notes) == ((), ())


def test_a_submodule_whose_git_folder_is_gone_is_read_by_its_rules(with_module, rows):
    (with_module / "outer" / ".git").write_text("gitdir: /nowhere\n")
    manifest = rows(read(with_module, submodules=True))
    assert {name for name in manifest if name.startswith("outer/")} >= {"outer/lib.txt", "outer/.gitignore"}
    assert "outer/x.log" not in manifest


def test_a_submodule_that_is_not_checked_out_and_named_is_read_as_far_as_it_is_there(with_module, rows, git, tmp_path):
    git(with_module, "worktree", "add", "-q", str(tmp_path / "other"))
    with pytest.raises(EmptyCorpusError, match="git submodule update --init"):
        read(tmp_path / "other" / "outer")
    (tmp_path / "other" / "outer" / "left.txt").write_text("left\n")
    manifest = rows(read(tmp_path / "other" / "outer"))
    assert (set(manifest), manifest["left.txt"].status) == ({".", "left.txt"}, "read")
    assert "git submodule update --init" in manifest["."].reason


def test_a_tracked_file_in_whose_place_a_folder_stands_has_a_row(repository, rows):
    top = repository({"a": "a\n", "b.txt": "b\n"})
    (top / "a").unlink()
    (top / "a").mkdir()
    (top / "a" / "x.txt").write_text("x\n")
    manifest = rows(read(top))
    assert set(manifest) == {"a", "a/x.txt", "b.txt"}
    assert manifest["a"].reason == "deleted: a folder stands in its place now"


def test_repositories_in_a_folder_that_is_none_are_listed_by_their_own_git(write, git, rows):
    top = write({"one/.gitignore": "*.log\n", "one/kept.log": "k\n", "one/lost.log": "l\n", "two/b.txt": "b\n", "c.txt": "c\n"})
    for name in ("one", "two"):
        git(top / name, "init", "-q")
    git(top / "one", "add", "-f", "kept.log")
    assert set(rows(read(top))) == {"one/.gitignore", "one/kept.log", "two/b.txt", "c.txt"}


@pytest.mark.parametrize("leak", ["GIT_DIR", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS", "GIT_WORK_TREE"])
def test_what_a_git_above_has_set_for_its_own_repository_does_not_leak_in(repository, git, write, monkeypatch, leak):
    top = repository({"a.txt": "a\n"})
    other = write({"b.txt": "b\n", "c.log": "c\n"}, "other")
    git(other, "init", "-q")
    rules = write({"rules": "*.log\n"}, "settings") / "rules"
    value = {
        "GIT_DIR": str(top / ".git"), "GIT_INDEX_FILE": str(top / ".git" / "index"), "GIT_WORK_TREE": str(top),
        "GIT_CONFIG_PARAMETERS": f"'core.excludesFile={rules}'",
    }[leak]  # fmt: skip
    monkeypatch.setenv(leak, value)
    assert {row.path for row in read(other).manifest} == {"b.txt", "c.log"}


def test_the_command_line_reads_submodules_where_it_is_told_to(with_module, capsys):
    from longctx.cli import main

    found = {}
    for options in ((), ("--submodules",)):
        assert main(["read", str(with_module), "--json", *options]) == 0
        found[options] = {row["path"]: row["status"] for row in json.loads(capsys.readouterr().out)["files"]}
    assert found[()]["outer"] == "skipped"
    assert found[("--submodules",)]["outer/inner/deep.txt"] == "read"
    assert main(["plan", "--model", "reference", "--submodules"]) == 2
    assert "--submodules" in capsys.readouterr().err
