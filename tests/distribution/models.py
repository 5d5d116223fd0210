"""A shop of many tenants: what the tests of distributed tables write and read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from psqlmodel import Column, ForeignKey, PSQLModel, Relation, Unique, table
from psqlmodel.types import bigint


@table("spread_countries", reference=True)
class Country(PSQLModel):
    code: Column[str] = Column(primary_key=True)
    name: Column[str]


@table("spread_tenants", distributed_by="id")
class Tenant(PSQLModel):
    id: bigint = Column(primary_key=True)
    name: Column[str]
    country_code: Column[str | None] = Column(foreign_key="spread_countries.code")
    country: Relation[Country | None] = Relation()
    orders: Relation[list[Order]] = Relation()


@table("spread_orders", distributed_by="tenant_id", colocate_with=Tenant, constraints=[Unique("tenant_id", "number")])
class Order(PSQLModel):
    tenant_id: bigint = Column(primary_key=True, foreign_key="spread_tenants.id", on_delete="CASCADE")
    id: bigint = Column(primary_key=True, identity=True)
    number: Column[int]
    total: Column[Decimal] = Column(default=Decimal(0))
    data: Column[Any] = Column(default=None, nullable=True)
    tenant: Relation[Tenant] = Relation()
    lines: Relation[list[Line]] = Relation()


@table(
    "spread_lines",
    distributed_by="tenant_id",
    constraints=[ForeignKey(["tenant_id", "order_id"], "spread_orders", ["tenant_id", "id"], on_delete="CASCADE")],
)
class Line(PSQLModel):
    tenant_id: bigint = Column(primary_key=True)
    id: bigint = Column(primary_key=True, identity=True)
    order_id: bigint = Column()
    text: Column[str]
    version: Column[int] = Column(version=True)
    order: Relation[Order] = Relation()


@table("spread_tags", distributed_by="tenant_id")
class Tag(PSQLModel):
    tenant_id: bigint = Column(primary_key=True)
    id: bigint = Column(primary_key=True, identity=True)
    name: Column[str]
    posts: Relation[list[Post]] = Relation(secondary="spread_post_tags")


@table("spread_posts", distributed_by="tenant_id")
class Post(PSQLModel):
    tenant_id: bigint = Column(primary_key=True)
    id: bigint = Column(primary_key=True, identity=True)
    tags: Relation[list[Tag]] = Relation(secondary="spread_post_tags")
    replies: Relation[list[Reply]] = Relation()


@table(
    "spread_post_tags",
    distributed_by="tenant_id",
    constraints=[
        ForeignKey(["tenant_id", "post_id"], "spread_posts", ["tenant_id", "id"], on_delete="CASCADE"),
        ForeignKey(["tenant_id", "tag_id"], "spread_tags", ["tenant_id", "id"], on_delete="CASCADE"),
    ],
)
class PostTag(PSQLModel):
    tenant_id: bigint = Column(primary_key=True)
    post_id: bigint = Column(primary_key=True)
    tag_id: bigint = Column(primary_key=True)


@table(
    "spread_replies",
    distributed_by="tenant_id",
    constraints=[ForeignKey(["tenant_id", "post_id"], "spread_posts", ["tenant_id", "id"])],
)
class Reply(PSQLModel):
    """One that may be left alone: only the part of its foreign key that is no part of its own key is emptied."""

    tenant_id: bigint = Column(primary_key=True)
    id: bigint = Column(primary_key=True, identity=True)
    post_id: Column[int | None] = Column(type=bigint)
    post: Relation[Post | None] = Relation()


@table("spread_notes")
class Note(PSQLModel):
    """A plain table beside them."""

    id: Column[int] = Column(primary_key=True)
    text: Column[str]


MODELS = [Country, Tenant, Order, Line, Tag, Post, PostTag, Reply, Note]
