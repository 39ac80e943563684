"""Elementary functions of one argument: exponentials, logarithms, roots, trigonometric and hyperbolic functions.

Budgets are twice the worst error measured against mpmath, in units of the last place, at the least.
"""

from __future__ import annotations

import math
from math import inf, pi

import torch

from ..rounding import EXACT, Budget
from ._families import increasing, monotone, periodic, piecewise_monotone

# --- exponentials and logarithms --------------------------------------------------------------------------------------

increasing("exp", formula=r"e^x", image=(0.0, inf), curvature="convex", budget=Budget(2))
increasing("exp2", formula=r"2^x", image=(0.0, inf), curvature="convex", budget=Budget(2))
increasing("expm1", formula=r"e^x - 1", image=(-1.0, inf), curvature="convex", budget=Budget(2))
increasing("log", formula=r"\log x", domain=(0.0, inf), curvature="concave", budget=Budget(2))
increasing("log2", formula=r"\log_2 x", domain=(0.0, inf), curvature="concave", budget=Budget(2))
increasing("log10", formula=r"\log_{10} x", domain=(0.0, inf), curvature="concave", budget=Budget(2))
increasing("log1p", formula=r"\log(1 + x)", domain=(-1.0, inf), curvature="concave", budget=Budget(2))

# --- roots and powers -------------------------------------------------------------------------------------------------

increasing("sqrt", formula=r"\sqrt{x}", domain=(0.0, inf), image=(0.0, inf), curvature="concave", budget=Budget(2))
monotone(
    "rsqrt", formula=r"1 / \sqrt{x}", signs=(-1,), domain=(0.0, inf), image=(0.0, inf), curvature="convex", budget=Budget(3)
)
