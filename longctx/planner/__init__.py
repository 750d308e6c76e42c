"""The planner: what fits which model on which device, from config.json and token counts. No torch, no corpus, no tokenizer."""

from longctx.planner.allotments import Budget, Claim, Division, divide
from longctx.planner.allotments import check as check_budgets
from longctx.planner.budget import plan
from longctx.planner.choice import Candidate, Choice, choose
from longctx.planner.counted import Sizes, counted, measured
from longctx.planner.devices import Device, detect, device_for, imagined, parse_memory
from longctx.planner.figures import Allotted, Figures, LeftOut
from longctx.planner.footage import Reel, Sampling, largest_patch, pinched, sample, words
from longctx.planner.geometry import NO_CACHE, Geometry, Linear, Parameters, knows, require_generative
from longctx.planner.limits import Room, default_bits, room
from longctx.planner.members import FAMILY, Member, member
from longctx.planner.memory import Memory, Precision, kv_cache
from longctx.planner.timing import Speed, Time
from longctx.planner.towers import Sight
from longctx.planner.yarn import parameters as rope_parameters

__all__ = [
    "FAMILY", "NO_CACHE", "Allotted", "Budget", "Candidate", "Choice", "Claim", "Device", "Division", "Figures", "Geometry",
    "LeftOut", "Linear", "Member", "Memory", "Parameters", "Precision", "Reel", "Room", "Sampling", "Sight", "Sizes", "Speed",
    "Time", "check_budgets", "choose", "counted", "default_bits", "detect", "device_for", "divide", "imagined", "knows",
    "kv_cache", "largest_patch", "measured", "member", "parse_memory", "pinched", "plan", "require_generative", "room",
    "rope_parameters", "sample", "words",
]  # fmt: skip
