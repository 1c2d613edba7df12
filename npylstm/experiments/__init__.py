"""Published experiments and pictures of gradients: `EXPERIMENTS[name].perform(folder)`."""

from npylstm.experiments import (
    against_length,
    continual_reber,
    embedded_reber,
    forget_bias,
    lyapunov,
    mnist_rows,
    online_1997,
    parity,
)
from npylstm.experiments.gallery import PICTURES
from npylstm.experiments.study import Study, StudyResult, Verdict, duration, refuse_to_overwrite

_STUDIES = (
    *against_length.STUDIES,
    *online_1997.STUDIES,
    embedded_reber.STUDY,
    continual_reber.STUDY,
    forget_bias.STUDY,
    mnist_rows.STUDY,
    lyapunov.STUDY,
    parity.STUDY,
)
EXPERIMENTS: dict[str, Study] = {study.name: study for study in _STUDIES}
"""Every published experiment by its name."""

__all__ = [
    "EXPERIMENTS",
    "PICTURES",
    "Study",
    "StudyResult",
    "Verdict",
    "continual_reber",
    "duration",
    "refuse_to_overwrite",
]
