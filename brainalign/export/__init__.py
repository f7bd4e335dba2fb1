"""A results folder -> objects of the libraries that M/EEG and fMRI are analysed with: mne, nibabel, nilearn, pandas.

Everything is read from the folder alone: no data are needed. What the run scored is what an object holds, channel by
channel and voxel by voxel; where nothing was scored there is NaN.
"""

from brainalign.export.choice import scores_frame
from brainalign.export.files import write_objects
from brainalign.export.images import score_image, score_surface
from brainalign.export.sensors import evoked_functions, evoked_scores

__all__ = ["evoked_functions", "evoked_scores", "score_image", "score_surface", "scores_frame", "write_objects"]
