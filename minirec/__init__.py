"""minirec: efficient sequential recommenders, to learn, teach and use."""

from minirec.data.datasets import available_datasets, load_dataset
from minirec.data.interactions import Interactions
from minirec.data.splits import Split
from minirec.errors import DataError
from minirec.evaluation import Evaluation, compare, evaluate, expected_metrics
from minirec.models import available_models, build_model
from minirec.scan import linear_recurrence
from minirec.serving import load_model, recommend, save_model
from minirec.training import History, fit

__version__ = "0.2.0.dev0"
__all__ = [
    "DataError",
    "Evaluation",
    "History",
    "Interactions",
    "Split",
    "available_datasets",
    "available_models",
    "build_model",
    "compare",
    "evaluate",
    "expected_metrics",
    "fit",
    "linear_recurrence",
    "load_dataset",
    "load_model",
    "recommend",
    "save_model",
]
