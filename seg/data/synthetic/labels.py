"""Raw label ids of the synthetic scenes: what the renderer writes, before any ontology maps it."""

from typing import Final

SKY: Final = 0
BUILDING: Final = 1
POLE: Final = 2
ROAD: Final = 3
PAVEMENT: Final = 4
TREE: Final = 5
SIGN: Final = 6
BARRIER: Final = 7
VEHICLE: Final = 8
TERRAIN: Final = 9
LANE_MARKING: Final = 10
EGO_VEHICLE: Final = 11
PEDESTRIAN: Final = 12
CYCLIST: Final = 13

SCENE_LABELS: Final[dict[int, str]] = {
    SKY: "sky",
    BUILDING: "building",
    POLE: "pole",
    ROAD: "road",
    PAVEMENT: "pavement",
    TREE: "tree",
    SIGN: "sign",
    BARRIER: "barrier",
    VEHICLE: "vehicle",
    TERRAIN: "terrain",
    LANE_MARKING: "lane_marking",
    EGO_VEHICLE: "ego_vehicle",
    PEDESTRIAN: "pedestrian",
    CYCLIST: "cyclist",
}
