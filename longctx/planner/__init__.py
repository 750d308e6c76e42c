"""The planner: what fits which model on which device, from config.json and token counts. No torch, no corpus, no tokenizer."""

from longctx.planner.budget import default_bits, plan
from longctx.planner.devices import Device, detect, parse_memory
from longctx.planner.figures import Figures
from longctx.planner.geometry import Geometry
from longctx.planner.memory import Memory
from longctx.planner.yarn import parameters as rope_parameters

__all__ = ["Device", "Figures", "Geometry", "Memory", "default_bits", "detect", "parse_memory", "plan", "rope_parameters"]
