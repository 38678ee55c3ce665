"""What REST takes: the bodies of requests. What a field may hold is said by the engine; here is only its shape."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Word = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
AccessWord = Literal["read-write", "read-only"]


class Body(BaseModel):
    """Of any request: a field that is not known is an error, for it may have been meant."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Changing(Body):
    """Of whatever changes nsu.conf."""

    plan_only: Annotated[bool, Field(description="only say what it would do")] = False
    force: Annotated[bool, Field(description="also against refusals that can be overruled")] = False
    base: Annotated[
        str | None,
        Field(description="the digest or `base` of the nsu.conf that this was decided on; another one is refused"),
    ] = None
    against: Annotated[
        str | None,
        Field(description="with `force`: the `against` of the plan that was shown; it overrules nothing else"),
    ] = None


class Granted(Body):
    """A host's right."""

    host: Word
    access: AccessWord = "read-write"


class Create(Changing):
    """A new partition."""

    name: Word
    size: Annotated[Word, Field(description="2048blocks, 512KiB, 100MiB, 20GiB, 2TiB, or 50% of what is free")]
    array: Annotated[str, Field(description="empty: the only one", max_length=255)] = ""
    hosts: Annotated[list[Granted], Field(description="nobody's when empty", max_length=100)] = []
    zero: Annotated[bool, Field(description="it reads as zeros until it is written")] = True
    shared_write: Annotated[bool, Field(description="several hosts may write it: see nsu.conf, SHARED_WRITE")] = False


class OfPartition(Changing):
    """Of a partition, by its title."""

    partition: Word


class Resize(OfPartition):
    """It ends elsewhere; where it begins it stays."""

    size: Annotated[Word, Field(description="the whole size, or by how much it grows: +10GiB, +50% of what is behind")]


class Rename(OfPartition):
    """It is called otherwise."""

    name: Word


class Assign(OfPartition):
    """It is given to a host."""

    host: Word
    access: AccessWord = "read-write"


class Share(Assign):
    """One more host has it."""

    name: Annotated[str, Field(description="as that host calls it; empty: the same name", max_length=255)] = ""
    shared_write: bool = False


class Unassign(OfPartition):
    """It is taken from a host, or from all."""

    host: Word | None = None


class Chown(OfPartition):
    """Another host has it, with the same rights."""

    host: Word


class SetAccess(OfPartition):
    """A host may write it, or only read."""

    access: AccessWord
    host: Word | None = None
    shared_write: bool = False


class SetZero(OfPartition):
    """It reads as zeros until it is written, or not."""

    zero: bool


class Apply(Changing):
    """A whole new nsu.conf."""

    text: Annotated[str, Field(max_length=4 << 20)]


class Rollback(Changing):
    """A version of the history is in force again."""

    version: Annotated[int, Field(ge=1, le=2**31)]


class Replace(Body):
    """A drive is put out, and its data rebuilt on another."""

    old: Annotated[Word, Field(description="its path, or the number of its place")]
    new: Annotated[Word | None, Field(description="a path; null: a spare takes the place", pattern="^/")] = None
    force: Annotated[bool, Field(description="write over what the new drive holds")] = False


class Detach(Body):
    """A disk is taken away."""

    force: Annotated[bool, Field(description="although somebody uses it")] = False
