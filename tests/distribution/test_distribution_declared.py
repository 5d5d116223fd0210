"""What Citus refuses of tables is refused where classes are defined, with what to write instead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from psqlmodel import Column, Exclude, ForeignKey, Index, MappingError, PSQLModel, Relation, Unique, table
from psqlmodel.schema import create_statements, describe
from psqlmodel.types import bigint

from .models import Country, Line, Order, Tenant


def keyed(**options: Any) -> type[PSQLModel]:
    """Return a class with the key (tenant_id, id) under these options of its table."""

    @table("declared_keyed", **options)
    class Keyed(PSQLModel):
        tenant_id: bigint = Column(primary_key=True)
        id: bigint = Column(primary_key=True)
        name: Column[str]
        tags: Column[list[int]]

    return Keyed


def test_a_class_says_how_its_table_is_spread() -> None:
    distribution = Order.__mapper__.distribution
    assert distribution is not None
    assert distribution.column is Order.__mapper__.attributes["tenant_id"]
    assert distribution.colocate_with == '"spread_tenants"'
    reference = Country.__mapper__.distribution
    assert reference is not None
    assert reference.column is None
    assert keyed().__mapper__.distribution is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distributed_by": "tenant_id", "reference": True}, "not both"),
        ({"reference": True, "colocate_with": "others"}, "a reference table is on every node"),
        ({"colocate_with": "others"}, "colocate_with belongs to distributed_by"),
        ({"distributed_by": "tenant"}, "no column 'tenant'; did you mean 'tenant_id'"),
        ({"distributed_by": "name"}, r"not in the primary key \(tenant_id, id\).*so that the key is \(name, tenant_id"),
        ({"distributed_by": "tags"}, "not by one with parts"),
        ({"distributed_by": "tenant_id", "colocate_with": 5}, 'the name of a table or "none"'),
        ({"distributed_by": "tenant_id", "colocate_with": Country}, "Country is not distributed_by a column itself"),
        (
            {"distributed_by": "tenant_id", "constraints": [Unique("name")]},
            r"\(name\) can be unique on one shard only: add tenant_id",
        ),
        ({"distributed_by": "tenant_id", "indexes": [Index("lower(name)", unique=True)]}, "add tenant_id"),
        ({"distributed_by": "tenant_id", "constraints": [Exclude(("name", "="))]}, r'add \("tenant_id", "="\)'),
        ({"distributed_by": "tenant_id", "optimistic": "xmin"}, "xmin differs from node to node"),
        ({"reference": True, "optimistic": "xmin"}, "declare the version as an integer"),
    ],
)
def test_what_a_table_can_not_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MappingError, match=message):
        keyed(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"constraints": [Unique("name", "tenant_id"), Exclude(("tenant_id", "="), ("name", "="))]},
        {"indexes": [Index("tenant_id", "lower(name)", unique=True), Index("name")]},
        {"colocate_with": "none"},
    ],
)
def test_what_it_can_be(options: dict[str, Any]) -> None:
    assert keyed(distributed_by="tenant_id", **options).__mapper__.distribution is not None


def test_a_unique_column() -> None:
    with pytest.raises(MappingError, match=r'write constraints=\[Unique\("tenant_id", "email"\)\]'):

        @table("declared_unique", distributed_by="tenant_id")
        class Account(PSQLModel):
            tenant_id: bigint = Column(primary_key=True)
            id: bigint = Column(primary_key=True)
            email: Column[str] = Column(unique=True)


def test_a_version_that_is_a_moment() -> None:
    with pytest.raises(
        MappingError, match=r"Citus refuses clock_timestamp\(\) in UPDATE: declare the version as an int"
    ):

        @table("declared_moment", distributed_by="id")
        class Page(PSQLModel):
            id: bigint = Column(primary_key=True)
            changed: Column[datetime] = Column(version=True)


def test_a_column_that_the_server_computes() -> None:
    with pytest.raises(MappingError, match="not by one that the server computes"):

        @table("declared_computed", distributed_by="half")
        class Computed(PSQLModel):
            id: bigint = Column(primary_key=True)
            half: bigint = Column(generated="id / 2")


# --- foreign keys -----------------------------------------------------------------------------------------------------


def owner(**options: Any) -> type[PSQLModel]:
    @table("declared_owners", **options)
    class Owner(PSQLModel):
        tenant_id: bigint = Column(primary_key=True)
        id: bigint = Column(primary_key=True)

    return Owner


def owned(constraint: ForeignKey | None, **options: Any) -> type[PSQLModel]:
    @table("declared_owned", constraints=[constraint] if constraint else [], **options)
    class Owned(PSQLModel):
        tenant_id: bigint = Column(primary_key=True)
        id: bigint = Column(primary_key=True)
        owner_id: bigint = Column()

    return Owned


def key(*columns: str, **options: Any) -> ForeignKey:
    return ForeignKey(list(columns), "declared_owners", ["tenant_id", "id"], **options)


TENANTS: dict[str, Any] = {"distributed_by": "tenant_id"}


@pytest.mark.parametrize(
    ("theirs", "ours", "constraint", "message"),
    [
        (TENANTS, TENANTS, key("owner_id", "id"), "leaves out tenant_id, by which the rows are spread"),
        (TENANTS, {}, key("tenant_id", "owner_id"), "Owned is on one node only, Owner is distributed"),
        (
            TENANTS,
            {"reference": True},
            key("tenant_id", "owner_id"),
            "Owned is a reference table, Owner is distributed",
        ),
        ({}, TENANTS, key("tenant_id", "owner_id"), "give Owner reference=True"),
        (
            TENANTS,
            TENANTS,
            key("tenant_id", "owner_id", on_delete="SET NULL"),
            'on_delete="SET NULL" would empty tenant_',
        ),
        (
            TENANTS,
            TENANTS,
            key("tenant_id", "owner_id", on_update="CASCADE"),
            'on_update="CASCADE" would change tenant_id',
        ),
        ({"reference": True}, TENANTS, key("tenant_id", "owner_id", on_delete="SET DEFAULT"), "would empty tenant_id"),
    ],
)
def test_keys_that_no_cluster_has(
    theirs: dict[str, Any], ours: dict[str, Any], constraint: ForeignKey, message: str
) -> None:
    first, second = owner(**theirs), owned(constraint, **ours)
    with pytest.raises(MappingError, match=message):
        describe([first.__mapper__, second.__mapper__])


@pytest.mark.parametrize(
    ("theirs", "ours", "constraint"),
    [
        (TENANTS, TENANTS, key("tenant_id", "owner_id", on_delete="CASCADE")),
        ({"reference": True}, TENANTS, key("id", "owner_id", on_delete="SET NULL")),
        ({"reference": True}, {"reference": True}, key("tenant_id", "owner_id")),
        ({"reference": True}, {}, key("tenant_id", "owner_id")),
        (TENANTS, TENANTS, key("owner_id", "id", enforced=False)),
        ({}, TENANTS, key("owner_id", "id", enforced=False)),
    ],
)
def test_keys_that_it_has(theirs: dict[str, Any], ours: dict[str, Any], constraint: ForeignKey) -> None:
    needed = describe([owner(**theirs).__mapper__, owned(constraint, **ours).__mapper__])
    assert len(needed.tables) == 2


def test_a_key_is_refused_where_the_second_class_of_a_scope_is_defined() -> None:
    @table("declared_parents", distributed_by="tenant_id")
    class Parent(PSQLModel):
        tenant_id: bigint = Column(primary_key=True)
        id: bigint = Column(primary_key=True)

    with pytest.raises(MappingError, match=r"the foreign key \(parent_id\) → declared_parents leaves out tenant_id"):

        @table("declared_children", distributed_by="tenant_id")
        class Child(PSQLModel):
            tenant_id: bigint = Column(primary_key=True)
            id: bigint = Column(primary_key=True)
            parent_id: bigint = Column(foreign_key="declared_parents.id")


def test_a_key_is_refused_where_its_target_comes_second() -> None:
    @table("declared_early", distributed_by="tenant_id")
    class Early(PSQLModel):
        tenant_id: bigint = Column(primary_key=True)
        id: bigint = Column(primary_key=True)
        late_id: bigint = Column(foreign_key="declared_late.id")

    with pytest.raises(MappingError, match="give Late reference=True"):

        @table("declared_late")
        class Late(PSQLModel):
            id: bigint = Column(primary_key=True)


def test_columns_of_two_types() -> None:
    @table("declared_small", distributed_by="tenant_id", constraints=[ForeignKey(["tenant_id", "id"], "spread_orders")])
    class Small(PSQLModel):
        tenant_id: Column[int] = Column(primary_key=True)
        id: bigint = Column(primary_key=True)

    with pytest.raises(MappingError, match=r"Small.tenant_id is integer and Order.tenant_id is bigint"):
        describe([model.__mapper__ for model in (Small, Country, Tenant, Order)])


def test_a_link_table_without_a_model() -> None:
    @table("declared_lefts", distributed_by="tenant_id")
    class Left(PSQLModel):
        tenant_id: bigint = Column(primary_key=True)
        id: bigint = Column(primary_key=True)
        rights: Relation[list[Right]] = Relation(secondary="auto")

    @table("declared_rights", distributed_by="tenant_id")
    class Right(PSQLModel):
        tenant_id: bigint = Column(primary_key=True)
        id: bigint = Column(primary_key=True)

    with pytest.raises(MappingError, match="write a model for it, with distributed_by="):
        describe([Left.__mapper__, Right.__mapper__])


def test_models_without_it_are_made_as_ever() -> None:
    @table("declared_plain")
    class Plain(PSQLModel):
        id: bigint = Column(primary_key=True)

    assert create_statements([Plain.__mapper__]) == [
        'CREATE TABLE IF NOT EXISTS "declared_plain" (\n'
        '    "id" bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY,\n'
        '    CONSTRAINT "pk_declared_plain" PRIMARY KEY ("id")\n)'
    ]


def test_the_same_key_twice_in_a_program_is_no_error() -> None:
    """A class that is defined again (in a notebook) takes the place of the first one."""
    assert [keyed(distributed_by="tenant_id").__mapper__.distribution is not None for _ in range(2)] == [True, True]
    assert Line.__mapper__.distribution is not None
