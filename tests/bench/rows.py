"""The rows of the table: what each loads, and what the gate aims for."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Variant:
    """One way to measure a row. `aims` are (limit, whose figure it is a multiple of); without a name the limit is
    absolute. With `beside` the gate alone is measured, and held against what the others needed for that variant in the
    same slice."""

    name: str = ""
    aims: tuple = ()
    # For the rig, beside the row's.
    options: dict = field(default_factory=dict)
    beside: str | None = None
    cached: bool = False
    # The gate's own settings; without `unsent` that limit is as it comes.
    workers: int = 1
    unsent: str = ""


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    load: str
    options: dict
    variants: tuple = field(default_factory=lambda: (Variant(),))
    floors: bool = True
    # A proxy that has been measured is another one afterwards: once in a round.
    once: bool = False

    @property
    def hls(self):
        return self.load in ("playlist", "segment")

    def title_of(self, variant):
        return f"{self.title}, {variant.name}" if variant.name else self.title


def aiming(*aims):
    return (Variant(aims=aims),)


def spread(viewers, rate, *aims, seconds=2):
    """Frames of one size, so many a second for each of so many viewers."""
    options = {"viewers": viewers, "rate": rate, "seconds": seconds}
    return Variant(f"{rate:g}/s × {viewers:,} viewers, µs", aims, options)


# As the peers have larger buffers for these rows. What it costs to leave the limit alone stands beside it.
RAISED, AS_IT_COMES = "limits.unsent = 4MiB", "limits.unsent as it comes"


def unsent(name, *aims, cached=False):
    """With the limit on unsent bytes raised, and with the gate as it comes."""
    prefix = f"{name}, " if name else ""
    raised = Variant(prefix + RAISED, aims, cached=cached, unsent="4MiB")
    return raised, Variant(prefix + AS_IT_COMES, aims, beside=raised.name, cached=cached)


TWO_WORKERS = "two workers"
BESIDE_NGINX = (1.0, "nginx")
BESIDE_THE_FLOOR = (BESIDE_NGINX, (1.05, "floor-shared"))
# As many frames a second among more and more viewers, …
IN_ALL = [spread(viewers, 6000 / viewers, BESIDE_NGINX) for viewers in (100, 1000, 4000, 8000)]
# … and as many for each viewer; the 8,000 of these are those above. Few frames are measured for longer.
FOR_EACH = [spread(viewers, 0.75, seconds=8) for viewers in (100, 1000)]

ROWS = [
    Row(
        "connect",
        "WebSocket connect, verdict, upstream, first frame, µs",
        "connect",
        {"count": 1000},
        (Variant(aims=((1.15, "nginx"),)), Variant(TWO_WORKERS, beside="", workers=2)),
    ),
    Row("refusal", "refusal, µs", "refusal", {"count": 2000}, aiming((1.3, "nginx")), floors=False),
    Row("frames-8k", "8 KiB frame", "frames", {"size": 8192}, (spread(150, 30, *BESIDE_THE_FLOOR),)),
    Row("frames-1k", "1.2 KiB frame", "frames", {"size": 1229}, (spread(150, 60, *BESIDE_THE_FLOOR),)),
    Row("bulk", "bulk, 8 viewers, ms per GB", "bulk", {"megabytes": 500}, unsent("", (0.55, "nginx"))),
    Row("quiet", "memory per quiet viewer (2,000), kB", "quiet", {}, aiming((4.0, None)), once=True),
    # The gate's cached answers are held against nginx's cached ones, but its rewriting against mere passing on.
    Row(
        "playlist",
        "playlist on keep-alive, µs",
        "playlist",
        {"count": 4000},
        (Variant("uncached", ((2.0, "nginx"),)), Variant("cached", ((1.0, "nginx"),), cached=True)),
    ),
    Row(
        "segment",
        "segment of 1 MiB, ms per GB",
        "segment",
        {"count": 400},
        (*unsent("uncached", (1.0, "envoy")), *unsent("cached", (1.0, "nginx"), cached=True)),
    ),
    Row("growth", "1.2 KiB frame", "frames", {"size": 1229}, (*IN_ALL, *FOR_EACH)),
]
# Who has a cache of its own here.
CACHES = ("gate", "before", "nginx")


@dataclass(frozen=True)
class Quotient:
    """What is computed from two cells of one slice: `factor` × the first's cost ÷ the second's."""

    title: str
    above: tuple
    below: tuple
    factor: float = 1.0
    most: float | None = None
    least: float | None = None


QUOTIENTS = [
    Quotient(
        "a frame's cost, 8,000 viewers ÷ 100, as many frames a second in all",
        ("growth", IN_ALL[-1].name),
        ("growth", IN_ALL[0].name),
        most=1.1,
    ),
    Quotient(
        "a viewer's cost, 8,000 viewers ÷ 100, as many frames a second for each",
        ("growth", IN_ALL[-1].name),
        ("growth", FOR_EACH[0].name),
        most=1.1,
    ),
    Quotient(
        "connects a second, two workers ÷ one (from processor time for each connect, with cores to spare)",
        ("connect", ""),
        ("connect", TWO_WORKERS),
        factor=2.0,
        least=1.8,
    ),
]


def chosen(names):
    """The rows that `names` name; a name also stands for all rows that begin with it."""
    rows = [row for row in ROWS if not names or any(row.key.startswith(name) for name in names)]
    if not rows:
        raise SystemExit(f"no such row; there are {', '.join(row.key for row in ROWS)}")
    return rows
