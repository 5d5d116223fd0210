"""The models of these tests: a small shop, a tree, composite keys, links; and tables that others made, in SQL."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, List, Optional  # noqa: UP035 - both spellings are promised

from psqlmodel import Column, ForeignKey, PSQLModel, Relation, Unique, serial, table, types, varchar

# --- a shop ----------------------------------------------------------------------------------------------------------


@table("users")
class User(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    status: Column[str | None] = Column()
    age: Column[int | None] = Column()
    email: Column[str | None] = Column(unique=True)
    data: Column[dict[str, Any] | None] = Column()
    labels: Column[list[str] | None] = Column()
    visits: Column[int] = Column(server_default="0")
    created_at: Column[datetime] = Column(server_default="now()")
    orders: Relation[list["Order"]] = Relation()
    profile: Relation["Profile | None"] = Relation()
    pets: Relation[list["Pet"]] = Relation()


@table("orders")
class Order(PSQLModel):
    id: int = Column(primary_key=True)
    user_id: int = Column(foreign_key="users.id", on_delete="CASCADE")
    total: Decimal = Column(server_default="0")
    note: str | None = Column()
    user: Relation["User"] = Relation("User")
    items: Relation[List["Item"]] = Relation("Item")  # noqa: UP006


@table("items")
class Item(PSQLModel):
    id: serial = Column(primary_key=True)
    order_id: int = Column(foreign_key="orders.id", on_delete="CASCADE")
    name: str = Column(type=varchar(40))
    price: Decimal = Column(server_default="1", check="price >= 0")
    quantity: int = Column(server_default="1")
    cost: Decimal | None = Column(generated="price * quantity")
    order: Relation["Order"]
    tags: Relation[list["Tag"]] = Relation(secondary="auto")


@table("tags")
class Tag(PSQLModel):
    id: int = Column(primary_key=True)
    name: str = Column(unique=True)
    items: Relation[list["Item"]] = Relation(secondary="auto")


@table("profiles")
class Profile(PSQLModel):
    id: int = Column(primary_key=True)
    user_id: Optional[int] = Column(foreign_key="users.id", unique=True)  # noqa: UP045
    bio: str = Column(default="")
    user: Relation["User"] = Relation()


@table("pets")
class Pet(PSQLModel):
    """No ON DELETE: its owner can't be deleted while it has one; nor does it have a relation back."""

    id: int = Column(primary_key=True)
    owner_id: int | None = Column(foreign_key="users.id")
    name: str = Column()


@table("nodes")
class Node(PSQLModel):
    id: int = Column(primary_key=True)
    name: str = Column()
    parent_id: int | None = Column(foreign_key="nodes.id", on_delete="SET NULL")
    parent: Relation["Node | None"] = Relation()
    children: Relation[list["Node"]] = Relation(order_by="name")


# --- composite keys, and several relations to one table --------------------------------------------------------------


@table("accounts")
class Account(PSQLModel):
    bank: str = Column(primary_key=True)
    number: int = Column(primary_key=True)
    balance: Decimal = Column(server_default="0")
    sent: Relation[list["Transfer"]] = Relation(foreign_keys=["from_bank", "from_number"])
    received: Relation[list["Transfer"]] = Relation(foreign_keys=["to_bank", "to_number"])


@table(
    "transfers",
    constraints=[
        ForeignKey(["from_bank", "from_number"], "accounts", ["bank", "number"]),
        ForeignKey(["to_bank", "to_number"], "accounts", ["bank", "number"]),
        Unique("reference"),
    ],
)
class Transfer(PSQLModel):
    id: int = Column(primary_key=True)
    from_bank: str | None = Column()
    from_number: int | None = Column()
    to_bank: str | None = Column()
    to_number: int | None = Column()
    amount: Decimal = Column(server_default="0")
    reference: str | None = Column()
    sender: Relation["Account"] = Relation(foreign_keys=["from_bank", "from_number"])
    receiver: Relation["Account"] = Relation(foreign_keys=["to_bank", "to_number"])


# --- links: by model, by the name of a table -------------------------------------------------------------------------


@table("enrolments")
class Enrolment(PSQLModel):
    student_id: int = Column(primary_key=True, foreign_key="students.id", on_delete="CASCADE")
    course_id: int = Column(primary_key=True, foreign_key="courses.id", on_delete="CASCADE")
    since: datetime = Column(server_default="now()")


@table("students")
class Student(PSQLModel):
    id: int = Column(primary_key=True)
    name: str = Column()
    courses: Relation[list["Course"]] = Relation(secondary=Enrolment)
    friends: Relation[list["Student"]] = Relation(secondary="friendships", secondary_keys=("student_id", "friend_id"))
    clubs: Relation[list["Club"]] = Relation(secondary="club_members")


@table("courses")
class Course(PSQLModel):
    id: int = Column(primary_key=True)
    title: str = Column()
    students: Relation[list["Student"]] = Relation(secondary="Enrolment", order_by="-name")


@table("clubs")
class Club(PSQLModel):
    id: int = Column(primary_key=True)
    name: str = Column()


# --- circles ---------------------------------------------------------------------------------------------------------


@table("departments")
class Department(PSQLModel):
    id: int = Column(primary_key=True)
    name: str = Column()
    head_id: int | None = Column(foreign_key="employees.id")
    head: Relation["Employee | None"] = Relation(foreign_keys="head_id")
    staff: Relation[list["Employee"]] = Relation(foreign_keys="department_id")


@table("employees")
class Employee(PSQLModel):
    id: int = Column(primary_key=True)
    name: str = Column()
    department_id: int | None = Column(foreign_key="departments.id")
    department: Relation["Department"] = Relation(foreign_keys="department_id", back="staff")


# --- names that SQL finds hard, mixins, abstract bases ---------------------------------------------------------------


class Stamped:
    """A plain mixin."""

    created_by: Column[str | None] = Column()

    def signed(self) -> str:
        return f"by {self.created_by}"


class Base(PSQLModel):
    """An abstract base: no table."""

    id: int = Column(primary_key=True)


@table("Group")
class Group(Stamped, Base):
    """A table and columns that are keywords or have capitals, quotes and blanks."""

    order: str | None = Column()
    user: str | None = Column(name="User")
    strange: int | None = Column(name='a "b" c')
    class_: str | None = Column(name="class")


MADE = (
    User, Order, Item, Tag, Profile, Pet, Node, Account, Transfer, Enrolment, Student, Course, Club, Department,
    Employee, Group,
)  # fmt: skip

# --- tables that we did not make -------------------------------------------------------------------------------------

OTHERS_SQL = """
CREATE TYPE mood AS ENUM ('happy', 'so so', 'sad');
CREATE DOMAIN postcode AS varchar(10) CHECK (VALUE ~ '^[0-9]+$');
CREATE TABLE people (
    dropped int,
    moods mood[],
    seen timestamp,
    email varchar(40) COLLATE "C",
    feeling mood,
    code postcode,
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 5000000000) PRIMARY KEY,
    numbers bigint[],
    unknown_to_the_model text DEFAULT 'kept',
    address inet,
    score numeric(10, 2) DEFAULT 1.5,
    big bigint,
    small smallint,
    boss_id bigint REFERENCES people,
    length int GENERATED ALWAYS AS (char_length(email)) STORED
);
ALTER TABLE people DROP COLUMN dropped;
CREATE TABLE ledger (id bigserial PRIMARY KEY, amount int NOT NULL, doubled int, changes int NOT NULL DEFAULT 0);
CREATE FUNCTION ledger_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.doubled := NEW.amount * 2;
    IF TG_OP = 'UPDATE' THEN NEW.changes := OLD.changes + 1; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_row BEFORE INSERT OR UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_row();
CREATE TABLE tickets (number text PRIMARY KEY, subject text NOT NULL);
CREATE SEQUENCE ticket_numbers;
CREATE FUNCTION ticket_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := coalesce(NEW.number, 'T-' || nextval('ticket_numbers'));
    RETURN NEW;
END $$;
CREATE TRIGGER ticket_number BEFORE INSERT ON tickets FOR EACH ROW EXECUTE FUNCTION ticket_number();
CREATE TABLE parted (id bigint GENERATED BY DEFAULT AS IDENTITY, kind text NOT NULL, note text,
                     PRIMARY KEY (kind, id)) PARTITION BY LIST (kind);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
CREATE VIEW rich_users AS SELECT u.id, u.name, sum(o.total) AS spent FROM users u JOIN orders o ON o.user_id = u.id
    GROUP BY u.id HAVING sum(o.total) >= 100;
"""


class Mood(Enum):
    HAPPY = "happy"
    SO_SO = "so so"
    SAD = "sad"


@table("people")
class Person(PSQLModel):
    """What the model says is narrower than, or other than, what the database has; the database wins."""

    id: int = Column(primary_key=True)
    email: str = Column()
    feeling: Mood | None = Column()
    code: str | None = Column()
    seen: datetime | None = Column()
    numbers: list[int] | None = Column()
    moods: list[Mood] | None = Column()
    address: str | None = Column()
    score: Decimal = Column()
    big: int | None = Column()
    small: int | None = Column()
    length: int | None = Column()
    boss_id: int | None = Column(foreign_key="people.id")
    boss: Relation["Person | None"] = Relation()
    staff: Relation[list["Person"]] = Relation()


@table("ledger")
class LedgerRow(PSQLModel):
    id: types.bigserial = Column(primary_key=True)
    amount: int = Column()
    doubled: int | None = Column()
    changes: int = Column()


@table("tickets")
class Ticket(PSQLModel):
    """A key that a trigger makes: no default of the database tells of it."""

    number: str = Column(primary_key=True)
    subject: str = Column()


@table("parted")
class Parted(PSQLModel):
    id: int = Column(primary_key=True)
    kind: str = Column(primary_key=True)
    note: str | None = Column()


@table("rich_users")
class RichUser(PSQLModel):
    """A view: no primary key, read-only."""

    id: int = Column()
    name: str = Column()
    spent: Decimal = Column()
