"""Errors of the trainer, below the core's root."""

from __future__ import annotations

from neumeta_core.errors import NeuMetaError


class DataNotFound(NeuMetaError):
    """A data set is not where it was looked for, or its files are damaged."""

    code = "data_not_found"


class TrainingCollapsed(NeuMetaError):
    """Generated weights left the range in which a network can work."""

    code = "training_collapsed"


class CheckpointRefused(NeuMetaError):
    """A checkpoint belongs to another run or is damaged."""

    code = "checkpoint_refused"


class RunNotFinished(NeuMetaError):
    """A folder holds no finished run."""

    code = "run_not_finished"


class VersionTaken(NeuMetaError):
    """A models folder has that version already."""

    code = "version_taken"


class RecipeRefused(NeuMetaError):
    """A recipe asks for what cannot be."""

    code = "recipe_refused"


class RecordRefused(NeuMetaError):
    """A file is no record of a run."""

    code = "record_refused"


class ReportRefused(NeuMetaError):
    """A document asks for what the records do not give."""

    code = "report_refused"


class AnalysisRefused(NeuMetaError):
    """An analysis does not fit its networks."""

    code = "analysis_refused"


class ServiceFailed(NeuMetaError):
    """A running service cannot be reached, or refuses what it is asked."""

    code = "service_failed"
