"""What a file is, by its name alone."""

from __future__ import annotations

from pathlib import PurePosixPath

_CODE_SUFFIXES = """
    .ada .adb .ads .asm .awk .bash .bat .bzl .c .cc .cfg .cjs .clj .cljs .cmake .cmd .coffee .cpp .cr .cs .css .cu .cuh .cxx .d
    .dart .el .elm .erl .ex .exs .f .f03 .f08 .f90 .f95 .fish .for .fs .fsi .fsx .glsl .go .gradle .graphql .groovy .h .hh .hpp
    .hrl .hs .hxx .idl .ini .java .jl .js .json .json5 .jsonc .jsx .kt .kts .less .lisp .lua .m .mjs .mk .ml .mli .mm .nim .nix
    .pas .php .pl .pm .proto .ps1 .psm1 .pxd .py .pyi .pyw .pyx .r .rb .rkt .rs .s .sass .scala .scm .scss .sh .sol .sql .sv
    .svelte .swift .tcl .tf .thrift .toml .ts .tsx .v .vb .vhd .vhdl .vim .vue .wgsl .xml .xsl .yaml .yml .zig .zsh
"""
_CODE_NAMES = """
    build build.bazel cmakelists.txt containerfile dockerfile gemfile gnumakefile jenkinsfile justfile makefile rakefile
"""
_CODE = frozenset((_CODE_SUFFIXES + _CODE_NAMES).split())
_BY_SUFFIX = {".md": "markdown", ".markdown": "markdown", ".mdx": "markdown", ".ipynb": "notebook", ".pdf": "pdf"}


def kind_of(path: str) -> str:
    """The kind of a file that is yet to be opened; ``"text"`` where the name says nothing.

    >>> [kind_of(path) for path in ("src/App.PY", "Makefile", "README.md", "a.ipynb", "b.pdf", "LICENSE")]
    ['code', 'code', 'markdown', 'notebook', 'pdf', 'text']
    """
    name = PurePosixPath(path).name.lower()
    suffix = PurePosixPath(name).suffix
    if name in _CODE or suffix in _CODE:
        return "code"
    return _BY_SUFFIX.get(suffix, "text")
