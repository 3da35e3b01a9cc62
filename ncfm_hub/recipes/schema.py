"""The schema of a recipe: every value that decides what a run does, with its type.

A recipe is what a pipeline file, the defaults file, a user's own defaults and the command line together resolve to.
It is read by the stages and the distiller; the mathematics never sees it. Unknown keys and wrong
types are refused (`ncfm_hub.recipes.resolve` turns that into a line naming file, key and nearest valid key).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Every number has an upper bound, far above what is of use: a recipe may come with a set that a stranger made, and
# must not fill the memory or train for ever.
Pixels = Annotated[int, Field(ge=1, le=2048)]  # of a side
Few = Annotated[int, Field(ge=1, le=1000)]
Batch = Annotated[int, Field(ge=1, le=8192)]
Wide = Annotated[int, Field(ge=1, le=65_536)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Many = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
PerClass = Annotated[int, Field(ge=1, le=100_000)]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e6)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Switch = Literal["auto", "on", "off"]
Baseline = Literal["random", "herding", "k-center", "el2n", "start", "dm", "whole"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SourceRecipe(_Section):
    """Where the images come from and how they are made into tensors."""

    dataset: str  # Hub id (`{user}` stands for the logged-in user), or a local folder
    config: str | None = None
    revision: str | None = None
    image_column: str | None = None  # None: the only Image column
    label_column: str | None = None  # None: the only label column
    train_split: str = "train"
    test_split: str = "test"
    classes: list[str | int] | None = None  # names or indices, in the order wanted; None: all
    resolution: Pixels = 32
    channels: Literal[1, 3] = 3
    skip_damaged: bool = False  # leave images out that cannot be decoded, rather than stop
    flip: bool = True  # False where a mirrored image is another class or none (digits)


class PoolRecipe(_Section):
    """The (init, trained) pairs of extractors."""

    backbone: str | None = None  # timm name; None: the ConvNet whose depth fits the resolution
    pretrained: str | None = None  # `hf-hub:owner/name`, `local-dir:folder`, or a tag of timm's
    init_head_only: bool = True  # with `pretrained`: init = the same weights with a fresh head; False: all fresh
    size: Few
    epochs: Epochs
    optimizer: Literal["sgd", "adamw"]
    lr: PositiveFloat
    momentum: Fraction = 0.9  # of sgd
    weight_decay: NotNegative = 5e-4
    schedule: Literal["steps", "one-cycle"]  # steps: x0.2 at 2/3 and 5/6
    batch_size: Batch = 128
    seed: Seed = 0


class DistillationRecipe(_Section):
    """NCFM itself."""

    ipc: PerClass | None = None  # stored images per class; None: named for each run
    seed: Seed = 0  # of all random draws but the pool's and the bank's
    steps: Many
    real_batch: Wide  # real images of a class in a step
    frequencies: Wide
    frequency_scale: PositiveFloat = 1.0
    orthogonal: bool = False  # frequencies in blocks at right angles to each other
    matching: Literal["characteristic", "mean"] = "characteristic"  # mean: of the features (DM), as a baseline
    alpha: Fraction = 0.5  # weight of the amplitude difference
    normalize_features: bool = True
    cutout: bool = True  # the last augmentation, of both sides
    factor: Annotated[int, Field(ge=1, le=16)] = 2  # a stored image is a factor x factor tiling
    optimizer: Literal["adam", "adamw"]
    lr: PositiveFloat
    weight_decay: NotNegative
    schedule: Literal["constant", "cosine", "plateau"]
    calibration: NotNegative  # w, of the cross-entropy on decoded and augmented images; 0 is the pure minmax
    sampling_network: bool  # psi
    sampling_objective: Literal["ncfd", "debiased"] = "ncfd"  # what psi ascends
    sampling_lr: PositiveFloat = 1e-3
    sampling_momentum: Fraction = 0.5
    bank: Many | None = None  # entries of precomputed real statistics; None: drawn anew in every step
    bank_seed: Seed = 0  # runs of one bank seed share their real draws
    classes_at_once: Wide | None = None  # None: chosen for the device; a unit of work
    images_at_once: Wide | None = None  # real images in one forward pass; None: by device and resolution
    checkpoint_every: Many = 50


class EvaluationRecipe(_Section):
    """How students are trained on a set; the same for every row of a table."""

    students: Annotated[int, Field(ge=0, le=1000)] = 5
    updates: Many | None = None  # optimiser updates; None: from epochs
    epochs: Epochs | None = None  # of the distilled set; gives the updates used for every row
    batch_size: Batch = 128
    lr: PositiveFloat = 1e-3
    weight_decay: NotNegative = 5e-4
    schedule: Literal["fifths", "one-cycle"]  # fifths: x0.5 after each fifth
    cutmix: Fraction = 0.5  # probability; 0: none
    augment: bool = True  # DSA; CutMix has its own probability
    soft_labels: bool = True  # also rows with soft labels: the distilled set, and random images labelled by the pool
    baselines: list[Baseline] = ["random", "start"]  # what the set is compared with
    # Of further students, short names or timm's; each measures every row.
    architectures: Annotated[list[str], Field(max_length=1000)] = []


class EngineRecipe(_Section):
    """How the same mathematics is carried out."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Switch = "auto"


class Recipe(_Section):
    """A whole run, resolved."""

    source: SourceRecipe
    pool: PoolRecipe
    distillation: DistillationRecipe
    evaluation: EvaluationRecipe
    engine: EngineRecipe = EngineRecipe()


def updates_of(updates: int | None, epochs: int | None, images: int, batch_size: int) -> int:
    """The updates of every row: as given, or so many epochs of the distilled set's `images`."""
    if updates is not None:
        return updates
    if epochs is None:
        raise ValueError("give the number of updates or of epochs")
    return epochs * -(-images // batch_size)
