"""What a scene is: plain dataclasses, sampled once and drawn many times.

Lengths are metres. `s` runs along the road (arc length, the camera starts at s = 0), `u` across it (positive to the
right, 0 is the centre of the own lane). Colours are RGB in 0..255 as seen in full daylight.
"""

from dataclasses import dataclass
from typing import Literal

Style = Literal["varied", "motorway"]
"""`varied`: every place, camera, weather and light, to carry over to real roads. `motorway`: one camera by day, soon learnt."""

RGB = tuple[float, float, float]
BANK_GAP = 2.5  # metres of flat verge between a road's edge and the foot of a bank


@dataclass(frozen=True, slots=True)
class Lens:
    """The camera. Angles in radians; `horizon` is the row of a flat horizon as a share of the picture's height."""

    fov: float
    horizon: float
    height: float
    offset: float  # of the camera from the lane's centre, metres to the right
    yaw: float


@dataclass(frozen=True, slots=True)
class Wave:
    """One sinusoid along the road: of curvature (1/m) or of slope (m/m)."""

    amplitude: float
    length: float
    phase: float


@dataclass(frozen=True, slots=True)
class Line:
    """A longitudinal marking; `gap` = 0 makes it solid."""

    u: float
    width: float
    dash: float
    gap: float
    phase: float
    colour: RGB
    wear: float  # 0 fresh .. 1 gone


@dataclass(frozen=True, slots=True)
class Band:
    """A strip of ground between two lateral positions. `label` is a raw label id."""

    u0: float
    u1: float
    label: int
    colour: RGB
    grain: float  # contrast of the fine texture, relative
    blotch: float  # contrast of the coarse texture, relative


@dataclass(frozen=True, slots=True)
class Patch:
    """Something painted or laid on the road that repeats every `period` metres.

    kind: "crosswalk", "stop", "arrow" (paint, labelled lane_marking), "repair", "joint", "manhole" (no label).
    """

    kind: str
    s: float
    period: float
    u0: float
    u1: float
    length: float
    colour: RGB
    strength: float


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that traffic uses. `speed` is relative to the own car, m/s; direction -1 faces the camera."""

    u: float
    direction: int
    speed: float


@dataclass(frozen=True, slots=True)
class Thing:
    """An object that stands or drives on the ground. Its meaning by kind is in `roadside.DRAW`."""

    kind: str
    s: float
    u: float
    width: float
    height: float
    length: float
    colour: RGB
    trim: RGB = (60.0, 60.0, 60.0)
    variant: int = 0
    side: int = 1  # which side of the road (+1 right), or the direction of a vehicle


@dataclass(frozen=True, slots=True)
class Light:
    """Light, weather and sensor. Gains are relative to a sunny noon."""

    sky_top: RGB
    sky_low: RGB
    cloud: float
    cloud_tint: float
    haze: RGB
    visibility: float  # metres at which 63 % of a colour is haze
    sun: tuple[float, float, float]  # unit vector, right/up/forward
    direct: float  # share of sunlight in the light, 0 overcast .. 1
    shade: float  # cover of cast shadows on the ground, 0..1
    wet: float
    exposure: float
    gamma: float
    tint: RGB  # about 1
    saturation: float
    blur: float  # sigma in pixels at 512 columns
    noise: float  # sigma in grey levels
    vignette: float
    rain: float
    flare: float


@dataclass(frozen=True, slots=True)
class Frontage:
    """How one side of the road looks beyond its edge. Probabilities are per chunk of road unless said otherwise."""

    side: int
    edge: float  # |u| where the carriageway ends
    line: float  # |u| of building fronts, walls and hedges
    lamp_gap: float  # metres between street lamps, 0 for none
    lamp_phase: float
    lamp_height: float
    lamp_colour: RGB
    lamp_variant: int
    utility_gap: float
    signs: float
    lights: float
    posts: float  # metres between delineator posts or bollards, 0 for none
    trees: float  # expected number per chunk
    tree_kind: int
    tree_tint: RGB
    buildings: float
    barrier: str  # "", "rail", "jersey", "fence", "hedge", "wall"
    barrier_u: float
    people: float
    bank: float  # height in metres to which the verge rises, 0 for flat
    bank_width: float
    parked: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything the renderer needs but the moment in time."""

    key: tuple[int, ...]
    place: str
    lens: Lens
    speed: float
    curvature: tuple[Wave, ...]
    slope: tuple[Wave, ...]
    bands: tuple[Band, ...]
    lines: tuple[Line, ...]
    patches: tuple[Patch, ...]
    lanes: tuple[Lane, ...]
    traffic: tuple[Thing, ...]
    frontages: tuple[Frontage, ...]
    median: float | None  # u of a barrier between the carriageways
    light: Light
    hills: float  # height of the skyline, share of the picture's height
    forest: float
    skyline_seed: int
    bonnet: float  # share of the picture's height that the own bonnet covers, 0 for none
    bonnet_colour: RGB

    def lift(self, u: float) -> float:
        """Height of the verge above the road at lateral position u, metres."""
        for f in self.frontages:
            if f.bank and u * f.side > f.edge + BANK_GAP:
                return f.bank * min((u * f.side - f.edge - BANK_GAP) / f.bank_width, 1.0)
        return 0.0
