"""Writing shards: a USTAR tar that webdataset streams, a marker that gives constant-time access, a manifest last.

The bytes of a shard depend on its samples alone: members in a fixed order, no times, no owners.
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthforge.core.errors import ConfigError, DataError
from synthforge.core.factors import Factor
from synthforge.core.records import Field, Rendering, Scene
from synthforge.core.schemas import CLASS_SCHEMAS

from ..core.files import clean_stale, replacing, sha256_of, write_once
from ..core.storage import place
from ..core.versions import versions as core_versions
from .codecs import IMAGE, Encoding, encode_sample, members_of
from .layout import (
    BLOCK,
    FORMAT,
    KEY,
    MANIFEST,
    MOST_SAMPLES,
    VERSION,
    ShardInfo,
    ShardSummary,
    digest,
    field_name,
    header,
    keys_twice,
    marker_path,
    read_marker,
    remake_hint,
    tar_path,
    tar_size,
    to_bytes,
)
from .rejections import NOTE, gather, wrong_counts

_LONGEST_NAME = 100  # bytes, of a member in a USTAR tar


def sample_key(index: int) -> str:
    """The key of the sample with this index: `000000012`."""
    return f"{index:09d}"


def to_sample(rendering: Rendering, annotations: Mapping[str, Any]) -> dict[str, Any]:
    """A rendering and its annotations as `write_shard` takes them."""
    scene = rendering.scene
    return {
        "__key__": sample_key(scene.index),
        "image": rendering.image,
        "scene": _record(scene),
        "camera": rendering.camera.to_json(),
        **annotations,
    }


def _record(scene: Scene) -> dict[str, Any]:
    record: dict[str, Any] = {"seed": scene.seed, "index": scene.index, "parameters": scene.parameters}
    record |= {name: getattr(scene, name) for name in ("drawn", "rendered") if getattr(scene, name)}
    if scene.origin is not None and (scene.origin.parent is not None or scene.origin.attempt):
        record |= scene.origin.to_json()
    return record


def write_shard(
    root: Path | str,
    shard: int,
    samples: Iterable[Mapping[str, Any]],
    fields: Sequence[Field],
    *,
    config_hash: str,
    encoding: Encoding | None = None,
    notes: Mapping[str, Any] | None = None,
    threads: int = 0,
) -> ShardInfo:
    """Write one shard and then its marker; until the marker exists, the shard does not count.

    samples: mappings with `__key__`, the fields by name, `scene` and `camera` (see `to_sample`); read one by one.
    fields: what to store; the image is added when it is not named. notes: read after the last sample, so that the
    iterable may still fill it. threads: number of threads that encode while the iterable makes the next samples.

    Raises DataError naming shard, key and field; the temporary file is then removed and other shards are untouched.
    """
    root = place(root)
    encoding = encoding or Encoding()
    fields = with_image(fields)
    members = members_of(fields, encoding)
    clean_stale(root)
    keys: list[str] = []
    offsets: list[tuple[int, ...]] = []
    sizes: list[tuple[int, ...]] = []
    crcs: list[tuple[int, ...]] = []
    digest = hashlib.sha256()
    seen: set[str] = set()
    path = tar_path(root, shard)
    position = 0
    with replacing(path) as file:

        def put(data: bytes) -> None:
            nonlocal position
            file.write(data)
            digest.update(data)
            position += len(data)

        for key, coded in _encoded(samples, fields, encoding, threads, f"shard {shard}"):
            if key in seen:
                raise DataError(f"shard {shard}: the key '{key}' comes twice")
            seen.add(key)
            places = []
            for name in members:
                data = coded[name]
                put(header(f"{key}.{name}", len(data)))
                places.append(position)
                put(data)
                put(bytes(-len(data) % BLOCK))
            if len(keys) == MOST_SAMPLES:
                raise DataError(
                    f"shard {shard}: a shard holds at most {MOST_SAMPLES:,} samples", hint="Use more shards."
                )
            keys.append(key)
            offsets.append(tuple(places))
            sizes.append(tuple(len(coded[name]) for name in members))
            crcs.append(tuple(zlib.crc32(coded[name]) for name in members))
        put(bytes(tar_size(position) - position))
    info = ShardInfo(
        shard=shard,
        config_hash=config_hash,
        fields=fields,
        encoding=encoding,
        size=position,
        sha256=digest.hexdigest(),
        keys=tuple(keys),
        members=tuple(members),
        offsets=tuple(offsets),
        sizes=tuple(sizes),
        crcs=tuple(crcs),
        notes=dict(notes or {}),
    )
    write_once(marker_path(root, shard), to_bytes(info.to_json()))
    return info


def with_image(fields: Sequence[Field]) -> tuple[Field, ...]:
    """The fields with the image in front; DataError for names that a shard cannot hold."""
    names = [item.name for item in fields]
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"two annotations are called '{name}'", hint="Rename one of them or leave one out.")
        if not field_name(name):
            raise DataError(f"'{name}' cannot be a field name: use lower-case letters, digits and _")
    return tuple(fields) if IMAGE.name in names else (IMAGE, *fields)


def _encoded(
    samples: Iterable[Mapping[str, Any]], fields: Sequence[Field], encoding: Encoding, threads: int, where: str
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Keys and members of samples, in order."""
    longest = max(map(len, members_of(fields, encoding)))

    def encode(sample: Mapping[str, Any]) -> tuple[str, dict[str, bytes]]:
        key = str(sample.get("__key__", ""))
        if not KEY.fullmatch(key) or len(key) + 1 + longest > _LONGEST_NAME:
            raise DataError(f"{where}: '{key}' is not a sample key (at most 80 letters, digits, _ and -)")
        try:
            return key, encode_sample(sample, fields, encoding)
        except DataError as error:
            raise DataError(f"{where}, sample {key}: {error.message}", hint=error.hint) from error

    if threads < 1:
        yield from map(encode, samples)
        return
    pending: deque[Future[tuple[str, dict[str, bytes]]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool:
        try:
            for sample in samples:
                pending.append(pool.submit(encode, sample))
                if len(pending) > 2 * threads:  # bounded: samples are large
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def shard_done(root: Path | str, shard: int, config_hash: str, *, verify: bool = False) -> bool:
    """Whether a shard is whole and of this configuration; False when it has no marker.

    verify: read the whole tar and compare its checksum, too.
    Raises DataError when marker and tar do not match, ConfigError when it was made with another configuration.
    """
    if not marker_path(root, shard).exists():
        return False
    info = read_marker(root, shard)
    path = tar_path(root, shard)
    if info.config_hash != config_hash:
        raise ConfigError(
            f"shard {shard} in {root} was made with another configuration "
            f"({info.config_hash[:12]}, now {config_hash[:12]})",
            hint="Give the new configuration a folder of its own, go back to the old one, or delete the folder.",
        )
    size = path.stat().st_size if path.exists() else None
    if size != info.size:
        found = "is missing" if size is None else f"has {size} bytes instead of {info.size}"
        raise DataError(f"{path} {found}", hint=remake_hint(root, shard))
    if verify and sha256_of(path) != info.sha256:
        raise DataError(f"{path} does not have the checksum of its marker", hint=remake_hint(root, shard))
    return True


@dataclass(frozen=True)
class MadeBy:
    """What made a dataset, for its manifest. provenance: where the pixels come from; plugins: who offers each.

    files: licensed files that were read (`assets.needs.licensed_files`).
    """

    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    plugins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Sequence[Mapping[str, Any]] = ()


def finish(
    root: Path | str,
    *,
    shards: int,
    config_hash: str,
    config: Mapping[str, Any],
    licences: Mapping[str, str],
    made_by: MadeBy | None = None,
    filters: Sequence[Mapping[str, Any]] = (),
    factors: Sequence[Factor] = (),
) -> Path:
    """Write `manifest.json`, which makes the shards 0..shards-1 a dataset, and return its path.

    config: the whole configuration. licences: of what made the pixels and the labels, by name. filters: the quality
    filters in order, each with its `name`; the shards' notes then hold what they rejected. factors: what the generator
    declares.
    The manifest holds no time: the same run gives the same bytes. Raises DataError when a shard is missing or
    differs from the others, when samples are missing, or when the filters left nothing.
    """
    root, made_by = place(root), made_by or MadeBy()
    clean_stale(root)
    infos: list[ShardSummary] = []
    first: ShardInfo | None = None
    for shard in range(shards):
        if not shard_done(root, shard, config_hash):
            raise DataError(
                f"shard {shard} of {shards} in {root} is not finished", hint="Run the same command again to go on."
            )
        info = read_marker(root, shard)
        first = first or info
        if (info.fields, info.encoding) != (first.fields, first.encoding):
            raise DataError(
                f"shard {shard} in {root} has other fields than shard {first.shard}", hint=remake_hint(root, shard)
            )
        infos.append(ShardSummary.of(info, sha256_of(marker_path(root, shard))))
    if first is None:
        raise DataError("a dataset needs at least one shard")
    if twice := keys_twice(root, infos):
        raise DataError(f"the keys {twice[:3]} are in more than one shard of {root}")
    for shard, problem in wrong_counts(config, infos):
        raise DataError(f"{root}: {problem}", hint=remake_hint(root, shard))
    record = {
        "format": FORMAT,
        "version": VERSION,
        "count": sum(info.count for info in infos),
        "fields": [item.to_json() for item in first.fields],
        "encoding": dataclasses.asdict(first.encoding),
        "schemas": _schemas(first.fields),
        "licences": dict(licences),
        "provenance": dict(made_by.provenance),
        "licensed_files": [dict(item) for item in made_by.files],
        "versions": core_versions() | {"python": platform.python_version()},
        "plugins": dict(made_by.plugins),
        "device": "cpu",
        "config_hash": config_hash,
        "config": dict(config),
        "shards": [
            {
                "shard": info.shard,
                "count": info.count,
                "size": info.size,
                "sha256": info.sha256,
                "marker_sha256": info.marker_sha256,
                "notes": {name: value for name, value in info.notes.items() if name != NOTE},
            }
            for info in infos
        ],
    }
    if factors:
        record["factors"] = [factor.to_json() for factor in factors]
    if filters:
        record["filters"] = gather(root, infos, filters)
    record["sha256"] = digest(record)  # of everything above
    path = root / MANIFEST
    with replacing(path) as file:
        file.write(to_bytes(record, indent=1))
    return path


def _schemas(fields: Sequence[Field]) -> dict[str, Any]:
    """Class names and colours of the label schemas in use, so that a dataset explains itself."""
    names = {item.schema for item in fields if item.kind == "label"}
    return {
        name: {"classes": list(CLASS_SCHEMAS[name].classes), "colours": [list(c) for c in CLASS_SCHEMAS[name].colours]}
        for name in sorted(names & set(CLASS_SCHEMAS))
    }
