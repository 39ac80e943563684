"""Linear relaxations (prototype)."""
