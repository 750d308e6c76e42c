"""What each language has of its own ways to define something: every line that says so is among the signatures.

In the samples a line that ends in ``+`` must be shown and one that ends in ``-`` must not; blank lines keep them apart, since
signatures that nearly touch are one segment.
"""

from __future__ import annotations

import textwrap
import time

import pytest

from longctx.corpus import Lines, Segment, Source
from longctx.sources.programs.outline import outline
from longctx.sources.programs.shapes import shapes
from longctx.sources.programs.syntax import definitions

SAMPLES = {
    "a.py": '''
    __all__ = ["Point"]                                              +

    x = compute()                                                    -

    Callback = Callable[[int], str]                                  +

    square = lambda x: x * x                                         +

    class Point(Generic[T]):                                         +

        x: int = 0                                                   +

        REGISTRY = {}                                                +

        cache = {}                                                   -

    def request(                                                     +
        a,                                                           +
        b,                                                           +
        c,                                                           +
        d,                                                           +
        e,                                                           +
        f,                                                           +
        g,                                                           +
        h,                                                           +
        i,                                                           +
        j,                                                           +
        k,                                                           +
        l,                                                           +
    ):                                                               +
        """Sends."""                                                 +
        return 1                                                     -
    ''',
    "a.js": """
    const LIMIT = 3;                                                 +

    let lower = 3;                                                   -

    class A {                                                        +
      x = 1;                                                         -

      'quoted name'() {}                                             +
    }

    export default function () {                                     +
      go();                                                          -
    }

    module.exports = {                                               +

      k: 1,                                                          -

      arrowed: (x) => {                                              +
        go();                                                        -
      },
    };

    res.get = res.header = function header(field) {                  +
      go();                                                          -
    };

    const Klass = class Named extends A {                            +

      inside() {}                                                    +
    };

    run({ a: 1 });                                                   -
    """,
    "a.ts": """
    declare module 'express' {                                       +

      interface Request {                                            +

        user?: string                                                +
      }
    }

    declare global {                                                 +

      interface Window {}                                            +
    }

    declare const VERSION: string;                                   +

    class A {                                                        +

      private x = 1;                                                 -

      @HostListener('click')                                         +
      async onClick() {                                              +
        await go();                                                  -
      }
    }
    """,
    "A.java": """
    class A {                                                        +

        Runnable r = new Runnable() {                                -

            public void run() {                                      -
                go();                                                -
            }
        };
    }

    @interface Marker {                                              +

        String value() default "x";                                  +
    }
    """,
    "a.c": """
    typedef struct {                                                 +
        int a;                                                       -
        int b;                                                       -
    } anonymous;                                                     +

    typedef struct Node {                                            +
        int a;                                                       -
        int b;                                                       -
    } Node;                                                          -

    static const int limit = 3;                                      +

    int counter = 0;                                                 -
    """,
    "a.hpp": """
    constexpr int kLimit = 3;                                        +

    struct A {                                                       +

      static constexpr int kMost = 3;                                +

      int x = 1;                                                     -
    };

    class EXPORT B : public A {                                      +

     public:                                                         -

      void wait();                                                   +
    };
    """,
    "a.cs": """
    namespace App.Services;                                          +

    class A {                                                        +

        public int Count                                             +
        {
            get                                                      -
            {
                return 1;                                            -
            }
        }

        public event EventHandler Changed;                           +

        ~A() { }                                                     +

        public static implicit operator int(A a) => 1;               +
    }
    """,
    "a.go": """
    package p                                                        -

    type Sender interface {                                          +

        io.Reader                                                    -

        Send(a int) error                                            +
    }

    type Option func(                                                +
        a int,                                                       +
    ) error                                                          +
    """,
    "a.rs": """
    trait Sends {                                                    +

        type Output;                                                 +

        const N: usize = 3;                                          +

        fn send(&self) -> Self::Output {                             +
            go()                                                     -
        }
    }
    """,
    "a.rb": """
    class A                                                          +

      include B                                                      -

      attr_accessor :name                                            +

      def <=>(other)                                                 +
        go                                                           -
      end

      def [](i) = go                                                 +

      define_method(:dynamic) { |x| x }                              +

      alias old_name name                                            +
    end                                                              -
    """,
    "a.php": """
    <?php                                                            -

    define('LIMIT', 3);                                              +

    go('LIMIT', 3);                                                  -

    enum Suit: string {                                              +

        public function label(): string                              +
        {
            return 'x';                                              -
        }
    }
    """,
    "a.kt": """
    data class Station<out T : Any>(                                 +
        val name: String,                                            +
        private val size: Int = 3,                                   +
    )                                                                +

    val lazily: String by lazy {                                     +
        go()
    }

    class Post(b: Base) : Base by b {                                +

        val hidden = 1                                               -

        val computed: Int get() = 1                                  +

        constructor(a: Int) : this(Base(a))                          +

        operator fun plus(o: Post) = 1                               +

        companion object {                                           +

            const val TAG = "x"                                      +
        }
    }

    interface Sends {                                                +

        val every: Int                                               +
    }
    """,
    "a.swift": """
    class Station {                                                  +

        var hidden = 1                                               -

        static let shared = Station()                                +

        var computed: Int {                                          +
            return 1                                                 -
        }

        init(name: String) throws {                                  +
            go()                                                     -
        }

        deinit { go() }                                              +

        static func == (l: Station, r: Station) -> Bool { true }     +

        subscript(i: Int) -> Int { 1 }                               +
    }

    protocol Sends {                                                 +

        associatedtype Item                                          +

        var every: Int { get set }                                   +
    }
    """,
    "a.scala": """
    case class Station(                                              +
        x: Int,                                                      +
    )                                                                +

    given order: Ordering[Int] with                                  +

      def compare(a: Int, b: Int) = 1                                +

    extension (s: String)                                            +

      def twice: String =                                            +
        s + s                                                        -

    package object util {                                            +

      type Id = Int                                                  +
    }
    """,
    "a.sh": """
    readonly LIMIT=3                                                 +

    export PATH_X="$HOME/bin"                                        +

    lower=1                                                          -

    wait_for() (                                                     +
      go                                                             -
    )
    """,
    "a.lua": """
    M.t = {                                                          -

      inside = function(a)                                           +
        go()                                                         -
      end,
    }
    """,
}


@pytest.mark.parametrize("path", SAMPLES)
def test_every_way_to_define_something_is_among_the_signatures(path: str) -> None:
    marked = textwrap.dedent(SAMPLES[path]).strip("\n").splitlines()
    text = "".join(f"{line.removesuffix('+').removesuffix('-').rstrip()}\n" for line in marked)
    source = Source(path, f"/{path}", "code", len(text), "", (Segment(text, Lines(path, 1, len(marked))),))
    assert shapes([source])[path].parsed
    origins = [segment.origin for segment in outline(source)]
    shown = {number for origin in origins for number in range(origin.first, origin.last + 1)}  # type: ignore[union-attr]
    assert [line for number, line in enumerate(marked, 1) if line.endswith("+") and number not in shown] == []
    assert [line for number, line in enumerate(marked, 1) if line.endswith("-") and number in shown] == []


@pytest.mark.parametrize("text", ["class A : " + "a, " * 100_000, ": a by b {\n" * 10_000, "x: a by " * 20_000])
def test_a_delegate_of_kotlin_is_looked_for_in_time_however_long_the_lines_are(text: str) -> None:
    began = time.process_time()
    assert "broken" in next(definitions("kotlin", text, False))
    assert time.process_time() - began < 10
