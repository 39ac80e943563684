"""What can go wrong in a run, each with the file it concerns and what to do about it."""


class ProvaeError(Exception):
    """Base of the errors below; the command line prints them without a traceback."""


class DataError(ProvaeError):
    """A dataset is missing, incomplete or damaged."""


class RunError(ProvaeError):
    """A run directory, configuration or checkpoint is missing, damaged or does not fit."""


class TrainingError(ProvaeError):
    """Training cannot go on: the loss is no longer finite."""


class SoundnessError(ProvaeError):
    """An attack found an image whose ELBO lies below its certificate: a bound is wrong."""
