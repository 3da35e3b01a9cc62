"""Read what a card states of a distilled dataset from its folder."""

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards.card_set import CardSet
from ncfm_hub.publishing.dataset.layout import CONFIGS, PIPELINE, PREVIEW, SHARD_PATTERN, Config, directory_of
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.utils.counting import counted


def read_card_set(place: SetPlace) -> CardSet:
    """Read what a card states of the distilled dataset at `place`. Raises DistilledError if files contradict."""
    assert place.name is not None
    folder = place.folder
    found = CardSet(place.name, read_pipeline(folder), read_results(folder), preview=(folder / PREVIEW).is_file())
    sizes = {config: _sizes(place, config, found.rows[config]) for config in CONFIGS}
    return CardSet(found.name, found.pipeline, found.results, sizes, found.preview)


def _sizes(place: SetPlace, config: Config, expected: int) -> tuple[int, int]:
    """Return (bytes in memory, bytes on disk); raises if the number of rows is wrong, since loading would fail."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory = directory_of(place.folder, config)
    rows = in_memory = on_disk = 0
    for shard in sorted(directory.glob(f"{SHARD_PATTERN}.parquet")):
        try:
            footer = pq.read_metadata(shard)
        except (pa.ArrowException, OSError) as error:
            raise DistilledError(f"{shard} cannot be read as parquet: {error}") from error
        rows += footer.num_rows
        in_memory += sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        on_disk += shard.stat().st_size
    if rows != expected:
        raise DistilledError(f"{directory} holds {counted(rows, 'image')}; {PIPELINE} says {expected}")
    return in_memory, on_disk
