"""The rows of the table: what each loads, and what the gate aims for."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """`aims` are (limit, whose figure it is a multiple of); without a name the limit is absolute."""

    key: str
    title: str
    load: str
    aims: tuple = ()
    options: dict = field(default_factory=dict)
    quick: dict = field(default_factory=dict)
    variants: tuple = ("",)
    floors: bool = True

    @property
    def hls(self):
        return self.load in ("playlist", "segment")


def frames(key, title, size, viewers, rate):
    options = {"size": size, "viewers": viewers, "rate": rate}
    aims = ((1.0, "nginx"), (1.05, "floor-shared"))
    return Row(key, title, "frames", aims, options | {"seconds": 5}, options | {"seconds": 2})


def grown(viewers):
    title = f"1.2 KiB frame, {6000 / viewers:g}/s × {viewers:,} viewers, µs"
    options = {"size": 1229, "viewers": viewers, "rate": 6000 / viewers}
    aims = ((1.0, "nginx"),)
    return Row(f"growth-{viewers}", title, "frames", aims, options | {"seconds": 5}, options | {"seconds": 2})


# The gate's own, beside its row: what another worker costs, and what the limit on unsent bytes costs.
TWO_WORKERS = "two workers"
AS_IT_COMES = "with limits.unsent as it comes"
OF_THE_GATE = (TWO_WORKERS, AS_IT_COMES)

ROWS = [
    Row(
        "connect",
        "WebSocket connect, verdict, upstream, first frame, µs",
        "connect",
        ((1.15, "nginx"),),
        {"count": 3000},
        {"count": 1000},
        variants=("", TWO_WORKERS),
    ),
    Row("refusal", "refusal, µs", "refusal", ((1.3, "nginx"),), {"count": 5000}, {"count": 2000}, floors=False),
    frames("frames-8k", "8 KiB frame, 30/s × 150 viewers, µs", 8192, 150, 30),
    frames("frames-1k", "1.2 KiB frame, 60/s × 150 viewers, µs", 1229, 150, 60),
    Row(
        "bulk",
        "bulk, 8 viewers, ms per GB",
        "bulk",
        ((0.55, "nginx"),),
        {"megabytes": 2000},
        {"megabytes": 500},
        variants=("", AS_IT_COMES),
    ),
    Row("quiet", "memory per quiet viewer (2,000), kB", "quiet", ((4.0, None),), {}, {"viewers": 1000}),
    Row(
        "playlist",
        "playlist on keep-alive, µs",
        "playlist",
        (),
        {"count": 16_000},
        {"count": 4000},
        variants=("uncached", "cached"),
    ),
    Row(
        "segment",
        "segment of 1 MiB, ms per GB",
        "segment",
        (),
        {"count": 1500},
        {"count": 400},
        variants=("uncached", "cached"),
    ),
    grown(100),
    grown(1000),
    grown(4000),
    grown(8000),
]

# The gate's cached answers are measured against nginx's cached ones, but its rewriting against mere passing on.
VARIANT_AIMS = {
    ("connect", TWO_WORKERS): (),
    ("bulk", AS_IT_COMES): (),
    ("playlist", "uncached"): ((2.0, "nginx"),),
    ("playlist", "cached"): ((1.0, "nginx"),),
    ("segment", "uncached"): ((1.0, "envoy"),),
    ("segment", "cached"): ((1.0, "nginx"),),
}
# Who has a cache of its own here.
CACHES = ("gate", "nginx")


def chosen(names):
    """The rows that `names` name; a name also stands for all rows that begin with it."""
    rows = [row for row in ROWS if not names or any(row.key.startswith(name) for name in names)]
    if not rows:
        raise SystemExit(f"no such row; there are {', '.join(row.key for row in ROWS)}")
    return rows
