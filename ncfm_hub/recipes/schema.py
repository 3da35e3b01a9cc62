"""The schema of a recipe: all settings of a run with their types.

A recipe is resolved from a pipeline file, the defaults file, the user's defaults and the command line. Stages and the
distiller read it; the mathematics never sees it. Unknown keys and wrong types are rejected
(`ncfm_hub.recipes.resolve` turns that into a line naming file, key and nearest valid key).
"""

from typing import Annotated, Literal

import annotated_types
from pydantic import BaseModel, ConfigDict, Field

# Every number has an upper bound far above useful values: a recipe may come with a third-party dataset and must
# not fill the memory or train forever.
Pixels = Annotated[int, Field(ge=1, le=2048)]  # per side
MOST_MEMBERS = 1000
Few = Annotated[int, Field(ge=1, le=MOST_MEMBERS)]
BatchSize = Annotated[int, Field(ge=1, le=8192)]
LARGEST_BATCH = 65_536
Wide = Annotated[int, Field(ge=1, le=LARGEST_BATCH)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Many = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
PerClass = Annotated[int, Field(ge=1, le=100_000)]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e6)]
Fraction = Annotated[float, Field(ge=0, le=1)]
OneGpu = Annotated[str, Field(pattern=r"^cuda:\d{1,2}$"), annotated_types.doc("cuda:N")]
_REPOSITORY = r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?$"
HubRepository = Annotated[str, Field(pattern=_REPOSITORY), annotated_types.doc("owner/name, or owner/name@revision")]
Switch = Literal["auto", "on", "off"]
Baseline = Literal["random", "herding", "k-center", "el2n", "start", "dm", "whole"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SourceRecipe(_Section):
    """Where the images come from and how they become tensors."""

    dataset: str  # Hub id (`{user}` stands for the logged-in user), or a local folder
    config: str | None = None
    revision: str | None = None
    image_column: str | None = None  # None: the only Image column
    label_column: str | None = None  # None: the only label column
    train_split: str = "train"
    test_split: str = "test"
    classes: list[str | int] | None = None  # names or indices, in this order; None: all
    resolution: Pixels = 32
    channels: Literal[1, 3] = 3
    skip_damaged: bool = False  # skip images that cannot be decoded, rather than stop
    flip: bool = True  # False if mirroring changes the class (digits)


class PoolRecipe(_Section):
    """The extractor pool of (init, trained) pairs."""

    backbone: str | None = None  # timm name; None: the ConvNet whose depth fits the resolution
    pretrained: str | None = None  # `hf-hub:owner/name`, `local-dir:folder`, or a timm tag
    init_head_only: bool = True  # with `pretrained`: init = the same weights with a new head; False: all new
    size: Few
    epochs: Epochs
    optimizer: Literal["sgd", "adamw"]
    lr: PositiveFloat
    momentum: Fraction = 0.9  # for SGD
    weight_decay: NotNegative = 5e-4
    schedule: Literal["steps", "one-cycle"]  # steps: x0.2 at 2/3 and 5/6
    batch_size: BatchSize = 128
    seed: Seed = 0
    use: str | None = None  # a trained pool: folder or `owner/name[@revision]`; `none`: train one here; None: find one
    published: HubRepository | None = None  # looked at for a pool with the key of these settings


NOT_OF_TRAINING = ("use", "published")  # settings of a pool that do not say how to train it


class DistillationRecipe(_Section):
    """Distillation by NCFM."""

    ipc: PerClass | None = None  # stored images per class; None: given for each run
    seed: Seed = 0  # of all random draws except the pool's and the bank's
    steps: Many
    real_batch: Wide  # real images per class and step
    frequencies: Wide
    frequency_scale: PositiveFloat = 1.0
    orthogonal: bool = False  # frequencies in orthogonal blocks
    matching: Literal["characteristic", "mean"] = "characteristic"  # mean: feature means (DM), as a baseline
    alpha: Fraction = 0.5  # weight of the amplitude difference
    normalize_features: bool = True
    cutout: bool = True  # last augmentation, on both sides
    factor: Annotated[int, Field(ge=1, le=16)] = 2  # a stored image is a factor x factor tiling
    optimizer: Literal["adam", "adamw"]
    lr: PositiveFloat
    weight_decay: NotNegative
    schedule: Literal["constant", "cosine", "plateau"]
    calibration: NotNegative  # w, weight of the cross-entropy on augmented images; 0: pure minmax
    sampling_network: bool  # psi
    sampling_objective: Literal["ncfd", "debiased"] = "ncfd"  # what psi ascends
    sampling_lr: PositiveFloat = 1e-3
    sampling_momentum: Fraction = 0.5
    bank: Many | None = None  # entries of precomputed real statistics; None: sampled in every step
    bank_seed: Seed = 0  # runs with one bank seed share their real images
    classes_at_once: Wide | None = None  # classes per unit of work; None: chosen by device
    images_at_once: Wide | None = None  # real images per forward pass; None: by device and resolution
    decoded_at_once: Wide | None = None  # decoded images per forward and backward pass; None: likewise
    checkpoint_every: Many = 50


class EvaluationRecipe(_Section):
    """How students (evaluation networks) are trained; the same for every row of a table."""

    students: Annotated[int, Field(ge=0, le=1000)] = 5
    updates: Many | None = None  # optimiser updates; None: computed from epochs
    epochs: Epochs | None = None  # over the distilled dataset; determines the updates of every row
    batch_size: BatchSize = 128
    lr: PositiveFloat = 1e-3
    weight_decay: NotNegative = 5e-4
    schedule: Literal["fifths", "one-cycle"]  # fifths: x0.5 after each fifth
    cutmix: Fraction = 0.5  # probability; 0: none
    augment: bool = True  # DSA; CutMix is controlled by its probability
    soft_labels: bool = True  # add rows with soft labels: distilled, and random real images labelled by the pool
    baselines: list[Baseline] = ["random", "start"]  # rows to compare with
    # Further architectures, short names or timm names; each evaluates every row.
    architectures: Annotated[list[str], Field(max_length=1000)] = []


class EngineRecipe(_Section):
    """How computations are carried out, without effect on the mathematics."""

    device: Literal["auto", "cpu", "cuda"] | OneGpu = "auto"  # auto: a GPU if there is one
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Switch = "auto"


class Recipe(_Section):
    """All settings of a run."""

    source: SourceRecipe
    pool: PoolRecipe
    distillation: DistillationRecipe
    evaluation: EvaluationRecipe
    engine: EngineRecipe = EngineRecipe()


def updates_of(updates: int | None, epochs: int | None, images: int, batch_size: int) -> int:
    """Return the updates of every row: as given, or from epochs over the distilled dataset's `images`."""
    if updates is not None:
        return updates
    if epochs is None:
        raise ValueError("give the number of updates or of epochs")
    return epochs * -(-images // batch_size)
