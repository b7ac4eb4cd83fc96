from .api import Dataset as Dataset
from .api import Face as Face
from .api import Faces as Faces
from .api import Predictor as Predictor
from .api import Sample as Sample
from .api import Trained as Trained
from .api import UserError as UserError
from .api import evaluate as evaluate
from .api import finetune as finetune
from .api import generate as generate
from .api import load_model as load_model
from .api import open_dataset as open_dataset
from .api import sample as sample
from .api import train as train

__version__: str
__all__: list[str]
