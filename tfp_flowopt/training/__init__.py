"""Training: runs that can be resumed (`Trainer`), and on arrays (`fit`)."""

from tfp_flowopt.data.convert import OtherConversionError
from tfp_flowopt.data.convert import convert_images
from tfp_flowopt.data.image_crops import ImageCrops
from tfp_flowopt.data.image_crops import split_columns
from tfp_flowopt.data.image_dataset import ImageDataset
from tfp_flowopt.data.sources.open_source import ImageSource
from tfp_flowopt.data.sources.open_source import load_images
from tfp_flowopt.data.sources.open_source import open_images
from tfp_flowopt.data.tiles import image_tiles
from tfp_flowopt.internal.progress import Progress
from tfp_flowopt.internal.progress import under_way
from tfp_flowopt.training.checkpoints import WorkdirError
from tfp_flowopt.training.config import TrainConfig
from tfp_flowopt.training.fit_result import FitResult
from tfp_flowopt.training.fitting import fit
from tfp_flowopt.training.interruption import TrainingInterrupted
from tfp_flowopt.training.interruption import WorkerLostError
from tfp_flowopt.training.restoring import restore
from tfp_flowopt.training.rollbacks import DivergedError
from tfp_flowopt.training.run_lock import WorkdirInUseError
from tfp_flowopt.training.run_settings import OtherRunError
from tfp_flowopt.training.tensorboard import TensorBoardWriter
from tfp_flowopt.training.trainer import Trainer

__all__ = [
    'DivergedError',
    'FitResult',
    'ImageCrops',
    'ImageDataset',
    'ImageSource',
    'OtherConversionError',
    'OtherRunError',
    'Progress',
    'TensorBoardWriter',
    'TrainConfig',
    'Trainer',
    'TrainingInterrupted',
    'WorkdirError',
    'WorkdirInUseError',
    'WorkerLostError',
    'convert_images',
    'fit',
    'image_tiles',
    'load_images',
    'open_images',
    'restore',
    'split_columns',
    'under_way',
]
