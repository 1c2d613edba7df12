"""The gallery: pictures of gradients, each made by `PICTURES[name].perform(folder, full=True)`."""

from npylstm.experiments.gallery.cliff import CLIFF
from npylstm.experiments.gallery.gates import DIGIT, HALF_LIFE, SATURATION
from npylstm.experiments.gallery.jacobians import BOUND, CELL_PATH, SINGULAR_VALUES
from npylstm.experiments.gallery.lag import GATE_GRADIENTS, GRADIENT_LAG, GRADIENT_TRAINING
from npylstm.experiments.gallery.truncation import TRUNCATION
from npylstm.experiments.study import Study

PICTURES: dict[str, Study] = {
    picture.name: picture
    for picture in (
        *(GRADIENT_LAG, GRADIENT_TRAINING, GATE_GRADIENTS),
        *(SINGULAR_VALUES, BOUND, CELL_PATH, CLIFF),
        *(DIGIT, SATURATION, HALF_LIFE, TRUNCATION),
    )
}
"""Every picture by its name."""

__all__ = ["PICTURES"]
