"""What defines something in which language: the nodes of tree-sitter's grammars, and which grammar a file's name asks for.

Tables alone. A name of a node that a grammar does not have is an error of tree-sitter, which a test looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Grammar:
    """What to look for in the tree of a language.

    Args:
        holders: nodes whose members are definitions, too: classes, traits, namespaces.
        closed: nodes that define something and what is inside of which is nobody's matter: functions, types.
        patterns: of a query, where a node alone does not say it; a constant is captured as ``@k``, others as ``@d``.
        comments: nodes that say something to people.
        strings: nodes in which words name nothing.
        attached: nodes right above a definition that belong to it: attributes.

    In patterns, ``@b`` is where what a definition does begins, where the grammar does not say it, and ``@q`` what is nobody's
    matter although nothing is defined there.
    """

    holders: str = ""
    closed: str = ""
    patterns: str = ""
    comments: str = "comment"
    strings: str = ""
    attached: str = ""

    @property
    def query(self) -> str:
        """All of it as a query of tree-sitter."""
        captures = {"h": self.holders, "d": self.closed, "c": self.comments, "s": self.strings, "a": self.attached}
        lines = [f"{node} @{name}" for name, nodes in captures.items() for node in _nodes(nodes)]
        return "\n".join((*lines, self.patterns))


def _nodes(words: str) -> list[str]:
    """Names of nodes, or whole patterns in brackets, one a line.

    >>> _nodes("class function") + _nodes("class\\n(struct body: (_))")
    ['(class)', '(function)', '(class)', '(struct body: (_))']
    """
    return [
        part if part.startswith("(") else f"({part})"
        for line in words.splitlines()
        for part in ([line.strip()] if line.strip().startswith("(") else line.split())
    ]


_PYTHON = """
    (module (assignment left: (identifier) @n) @k (#match? @n "^([A-Z][A-Za-z0-9_]*|__all__)$"))
    (module (assignment right: (lambda)) @k)
    (class_definition body: (block (assignment left: (identifier) @n) @k) (#match? @n "^[A-Z][A-Z0-9_]*$"))
    (class_definition body: (block (assignment type: (_)) @k))
"""
#: The same where a grammar has a statement around an assignment, as some do.
_PYTHON_STATED = _PYTHON.replace("(assignment", "(expression_statement (assignment").replace("@k", "@k)")
_C_PROTOTYPES = """
    (declaration declarator: (function_declarator))
    (declaration declarator: (pointer_declarator declarator: (function_declarator)))
"""
_C_PATTERNS = """
    (preproc_def value: (_)) @k
    ((declaration (type_qualifier) @m declarator: (init_declarator)) @k (#match? @m "^const"))
"""
_JS_FUNCTIONS = "[(arrow_function) (function_expression) (generator_function)]"
_JS_CLOSED = f"""
    function_declaration generator_function_declaration method_definition
    (pair value: {_JS_FUNCTIONS})
    (export_statement value: {_JS_FUNCTIONS})
"""
_JS_PATTERNS = f"""
    (program (expression_statement (assignment_expression left: (member_expression) right: {_JS_FUNCTIONS}) @d))
    (program (expression_statement (assignment_expression left: (member_expression) right: [(object) (class)]) @h))
    (program (expression_statement (assignment_expression right: (assignment_expression right: {_JS_FUNCTIONS})) @d))
    (program (lexical_declaration (variable_declarator value: {_JS_FUNCTIONS}) @k))
    (program (variable_declaration (variable_declarator value: {_JS_FUNCTIONS}) @k))
    (program (lexical_declaration (variable_declarator value: (class)) @h))
    (program (lexical_declaration (variable_declarator name: (identifier) @n) @k) (#match? @n "^[A-Z][A-Z0-9_]*$"))
    (export_statement (lexical_declaration (variable_declarator) @k))
    (export_statement (variable_declaration (variable_declarator) @k))
    (export_statement value: [(class) (object)]) @h
    (export_statement value: (call_expression)) @k
    (object) @b
"""
_TYPESCRIPT = Grammar(
    holders="""
    class_declaration abstract_class_declaration interface_declaration internal_module module
    (ambient_declaration (statement_block))
    """,
    closed=_JS_CLOSED
    + """
    enum_declaration type_alias_declaration function_signature method_signature abstract_method_signature
    (public_field_definition value: (arrow_function))
    """,
    patterns=_JS_PATTERNS
    + """
    (ambient_declaration (lexical_declaration (variable_declarator) @k))
    (interface_body (property_signature) @k)
    """,
    strings="string template_string regex",
    attached="decorator",
)

GRAMMARS = {
    "python": Grammar(
        "class_definition",
        "function_definition type_alias_statement",
        _PYTHON + _PYTHON_STATED,
        strings="string",
    ),
    "javascript": Grammar(
        "class_declaration",
        _JS_CLOSED + "(field_definition value: (arrow_function))",
        _JS_PATTERNS,
        strings="string template_string regex",
        attached="decorator",
    ),
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "java": Grammar(
        "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration",
        """
        method_declaration constructor_declaration compact_constructor_declaration annotation_type_element_declaration
        """,
        """
        ((field_declaration (modifiers) @m) @k (#match? @m "static") (#match? @m "final"))
        (object_creation_expression (class_body)) @q
        """,
        "line_comment block_comment",
        "string_literal",
    ),
    "c": Grammar(
        "",
        """
        function_definition type_definition preproc_function_def
        (struct_specifier body: (_))
        (union_specifier body: (_))
        (enum_specifier body: (_))
        """
        + _C_PROTOTYPES,
        _C_PATTERNS,
        strings="string_literal system_lib_string",
    ),
    "cpp": Grammar(
        """
        namespace_definition
        (class_specifier body: (_))
        (struct_specifier body: (_))
        (union_specifier body: (_))
        """,
        """
        function_definition type_definition preproc_function_def alias_declaration concept_definition
        (enum_specifier body: (_))
        (field_declaration declarator: (function_declarator))
        (field_declaration declarator: (pointer_declarator declarator: (function_declarator)))
        (field_declaration declarator: (reference_declarator (function_declarator)))
        (declaration declarator: (reference_declarator (function_declarator)))
        """
        + _C_PROTOTYPES,
        _C_PATTERNS
        + """
        ((field_declaration (type_qualifier) @m default_value: (_)) @k (#match? @m "^const"))
        (function_definition type: [(class_specifier) (struct_specifier)] declarator: (identifier)) @h
        """,
        strings="string_literal raw_string_literal system_lib_string",
    ),
    "csharp": Grammar(
        """
        namespace_declaration class_declaration interface_declaration struct_declaration record_declaration
        """,
        """
        enum_declaration method_declaration constructor_declaration property_declaration delegate_declaration
        operator_declaration indexer_declaration event_declaration event_field_declaration destructor_declaration
        conversion_operator_declaration file_scoped_namespace_declaration
        """,
        """
        ((field_declaration (modifier) @m) @k (#match? @m "^const$"))
        (accessor_list) @b
        (property_declaration value: (arrow_expression_clause) @b)
        """,
        strings="string_literal verbatim_string_literal raw_string_literal interpolated_string_expression",
    ),
    "go": Grammar(
        "type_spec",
        "function_declaration method_declaration type_alias method_elem",
        """
        (source_file (const_declaration (const_spec name: (identifier) @n) @k) (#match? @n "^[A-Z]"))
        (source_file (var_declaration (var_spec name: (identifier) @n) @k) (#match? @n "^[A-Z]"))
        (source_file (var_declaration (var_spec_list (var_spec name: (identifier) @n) @k)) (#match? @n "^[A-Z]"))
        (interface_type "{" @b)
        """,
        strings="interpreted_string_literal raw_string_literal",
    ),
    "rust": Grammar(
        """
        trait_item impl_item
        (mod_item body: (_))
        """,
        """
        function_item function_signature_item struct_item enum_item union_item macro_definition type_item const_item static_item
        associated_type
        """,
        "",
        "line_comment block_comment",
        "string_literal raw_string_literal",
        "attribute_item",
    ),
    "ruby": Grammar(
        "module class singleton_class",
        "method singleton_method",
        """
        (assignment left: (constant)) @k
        (alias) @k
        ((call !receiver method: (identifier) @m arguments: (_)) @k
            (#match? @m "^(attr_reader|attr_writer|attr_accessor|define_method|alias_method)$"))
        (class "end" @b)
        (module "end" @b)
        """,
        strings="string_content heredoc_content regex",
    ),
    "php": Grammar(
        """
        interface_declaration class_declaration trait_declaration enum_declaration
        (namespace_definition body: (_))
        """,
        "method_declaration function_definition",
        """
        (const_declaration) @k
        (program (expression_statement (function_call_expression function: (name) @f) @k) (#eq? @f "define"))
        """,
        strings="string encapsed_string heredoc nowdoc",
        attached="attribute_list",
    ),
    "kotlin": Grammar(
        "class_declaration object_declaration companion_object",
        """
        function_declaration secondary_constructor type_alias
        (property_declaration (getter))
        """,
        """
        (source_file (property_declaration) @k)
        ((property_declaration (modifiers (property_modifier) @m)) @k (#eq? @m "const"))
        (class_body (property_declaration (variable_declaration (_) (_)) .) @k)
        (getter) @b
        (explicit_delegation (call_expression (call_suffix (annotated_lambda) @b)))
        """,
        "line_comment multiline_comment",
        "string_literal",
    ),
    "swift": Grammar(
        "class_declaration protocol_declaration",
        """
        function_declaration init_declaration protocol_function_declaration typealias_declaration deinit_declaration
        subscript_declaration associatedtype_declaration protocol_property_declaration
        (property_declaration computed_value: (_))
        """,
        """
        (source_file (property_declaration) @k)
        ((property_declaration (modifiers (property_modifier) @m)) @k (#match? @m "^(static|class)$"))
        (computed_property) @b
        """,
        "comment multiline_comment",
        "line_string_literal multi_line_string_literal",
    ),
    "scala": Grammar(
        """
        class_definition trait_definition object_definition package_object enum_definition given_definition
        extension_definition
        """,
        "function_definition function_declaration type_definition",
        "(compilation_unit (val_definition) @k)",
        "comment block_comment",
        "string interpolated_string",
    ),
    "bash": Grammar("", "function_definition", "(program (declaration_command) @k)", strings="raw_string heredoc_body"),
    "lua": Grammar(
        "",
        """
        function_declaration
        (assignment_statement (expression_list value: (function_definition)))
        (field name: (_) value: (function_definition))
        """,
        strings="string",
    ),
}

#: Nodes around a definition that begin before it and are it: decorators, ``export``, ``template``.
WRAPPERS = frozenset(
    ["decorated_definition", "export_statement", "template_declaration", "ambient_declaration", "expression_statement"]
)
#: The same, where they hold one definition only: ``const (`` of Go begins a list of them.
SINGLE = frozenset(
    ["lexical_declaration", "variable_declaration", "type_declaration", "const_declaration", "var_declaration", "const_item"]
)
#: What defines something without naming it, by its node.
NAMELESS = {
    "export_statement": "default",
    "ambient_declaration": "global",
    "conversion_operator_declaration": "operator",
    "indexer_declaration": "this",
    "secondary_constructor": "constructor",
    "companion_object": "companion",
    "deinit_declaration": "deinit",
    "subscript_declaration": "subscript",
    "extension_definition": "extension",
    "given_definition": "given",
}
#: Where what a definition does begins, in grammars that do not say so by the name of a field.
BODIES = frozenset(["class_body", "enum_class_body", "function_body", "field_declaration_list"])

_SUFFIXES = {
    "python": ".py .pyi .pyw",
    "javascript": ".js .cjs .mjs .jsx",
    "typescript": ".ts .mts .cts",
    "tsx": ".tsx",
    "java": ".java",
    "c": ".c",
    "cpp": ".cc .cpp .cu .cuh .cxx .h .hh .hpp .hxx",
    "csharp": ".cs",
    "go": ".go",
    "rust": ".rs",
    "ruby": ".rb",
    "php": ".php",
    "kotlin": ".kt .kts",
    "swift": ".swift",
    "scala": ".scala",
    "bash": ".sh .bash .zsh",
    "lua": ".lua",
}
_LANGUAGES = {suffix: language for language, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
#: Languages whose programs use each other's definitions by name.
_FAMILIES = {
    "c": "c",
    "cpp": "c",
    "javascript": "js",
    "typescript": "js",
    "tsx": "js",
    "java": "jvm",
    "kotlin": "jvm",
    "scala": "jvm",
}


def language_of(path: str) -> str:
    """The language that a file's name asks for; empty where there is no grammar for it here.

    >>> language_of("src/App.TSX"), language_of("a.h"), language_of("a.json")
    ('tsx', 'cpp', '')
    """
    return _LANGUAGES.get(PurePosixPath(path).suffix.lower(), "")


def family_of(path: str) -> str:
    """Which files may define what this one names: the same word for all of them.

    >>> family_of("a.tsx") == family_of("b.js"), family_of("a.ml"), family_of("Makefile")
    (True, '.ml', 'Makefile')
    """
    language = language_of(path)
    return _FAMILIES.get(language, language) or PurePosixPath(path).suffix.lower() or PurePosixPath(path).name
