"""Every kind of relation: both sides in step, adding, removing, replacing; ambiguity and missing keys."""

from __future__ import annotations

from typing import List, Optional  # noqa: UP035 - both spellings are promised

import pytest

from psqlmodel import Column, ObjectStateError, PSQLModel, PSQLModelError, Relation, RelationError, Select, table

from .both import Both, Statements
from .models import (
    Account,
    Club,
    Course,
    Department,
    Employee,
    Item,
    Node,
    Order,
    Pet,
    Profile,
    Student,
    Tag,
    Transfer,
    User,
)

# --- to-one and to-many ----------------------------------------------------------------------------------------------


async def test_both_sides_show_at_once(both: Both, statements: Statements) -> None:
    user, other = User(name="Ada"), User(name="Bob")
    order = Order(user=user)
    assert user.orders == [order]
    order.user = other
    assert (user.orders, other.orders) == ([], [order])
    user.orders.append(order)
    assert (order.user, other.orders) == (user, [])
    user.orders.remove(order)
    assert order.user is None
    assert statements == []


async def test_appending_writes_the_key_at_flush(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        order = Order(total=3)
        user.orders.append(order)
        assert order in session  # it hangs on an object of the session
        await session.commit()
        assert order.user_id == 1
    assert both.column("SELECT user_id FROM orders") == [1]


async def test_adding_a_parent_adds_what_hangs_on_it(both: Both) -> None:
    user = User(name="Ada", profile=Profile(bio="b"))
    user.orders += [Order(total=1, items=[Item(name="i", tags=[Tag(name="t")])]), Order(total=2)]
    async with both.session() as session:
        session.add(user)
        assert all(order in session for order in user.orders)
        await session.commit()
    for name, count in [("users", 1), ("orders", 2), ("items", 1), ("tags", 1), ("items_tags", 1), ("profiles", 1)]:
        assert both.value(f"SELECT count(*) FROM {name}") == count, name


async def test_adding_a_child_adds_its_parent(both: Both) -> None:
    async with both.session() as session:
        item = Item(name="i", order=Order(user=User(name="Ada")))
        session.add(item)
        await session.commit()
    row = both.sql("SELECT u.name, o.id AS o, i.order_id FROM users u, orders o, items i")[0]
    assert tuple(row) == ("Ada", item.order.id, item.order.id)


async def test_setting_the_key_column_forgets_the_loaded_object(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        one, two = await session.exec(Select(User).Include(User.orders).OrderBy(User.id)).all()
        order = one.orders[0]
        order.user_id = 2
        assert order.user is two
        assert one.orders == []
        await session.commit()
    assert both.column("SELECT user_id FROM orders") == [2]


async def test_moving_a_child_is_one_update(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1), (2, 1)")
    async with both.session() as session:
        one, two = await session.exec(Select(User).Include(User.orders).OrderBy(User.id)).all()
        statements.clear()
        two.orders = one.orders
        assert one.orders == []
        await session.commit()
        assert statements.verbs == ["UPDATE"]
    assert both.column("SELECT user_id FROM orders") == [2, 2]


async def test_removing_nulls_the_key_where_it_may_be_null(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO pets (id, owner_id, name) VALUES (1, 1, 'Rex'), (2, 1, 'Tom')")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.pets)).one()
        rex = user.pets[0]
        user.pets.remove(rex)
        await session.commit()
        assert rex.owner_id is None
        user.pets.clear()
        await session.commit()
    assert both.column("SELECT owner_id FROM pets") == [None, None]


async def test_removing_what_needs_a_parent_is_an_error_that_names_it(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        order = user.orders.pop()
        with pytest.raises(PSQLModelError, match="Order"):
            await session.commit()
        await session.rollback()
        assert user.orders == [order]
        user.orders.remove(order)
        session.delete(order)  # what becomes of it is said
        await session.commit()
    assert both.value("SELECT count(*) FROM orders") == 0


async def test_replacing_a_list(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO pets (id, owner_id, name) VALUES (1, 1, 'Rex'), (2, 1, 'Tom')")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.pets)).one()
        kept = user.pets[1]
        new = Pet(name="New")
        user.pets = [kept, new]
        await session.commit()
        assert new.owner_id == 1
    assert both.sql("SELECT name, owner_id FROM pets ORDER BY name") == [("New", 1), ("Rex", None), ("Tom", 1)]


async def test_a_list_behaves_like_a_list(both: Both) -> None:
    tags = [Tag(name=f"t{n}") for n in range(6)]
    item = Item(name="i")
    item.tags = tags[:3]
    item.tags.insert(0, tags[3])
    item.tags.extend(tags[4:])
    item.tags.append(tags[0])  # is there already
    assert item.tags == [tags[3], *tags[:3], *tags[4:]]
    assert item.tags.pop() is tags[5]
    del item.tags[0]
    item.tags[0] = tags[5]
    assert item.tags == [tags[5], tags[1], tags[2], tags[4]]
    item.tags.reverse()
    item.tags.sort(key=lambda tag: tag.name)
    assert [tag.name for tag in item.tags] == ["t1", "t2", "t4", "t5"]
    assert all(tag.items == [item] for tag in item.tags)
    assert tags[0].items == []
    with pytest.raises(TypeError):
        item.tags *= 2


# --- one-to-one ------------------------------------------------------------------------------------------------------


async def test_one_to_one_from_either_side(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="Ada", profile=Profile(bio="first"))
        assert user.profile.user is user
        session.add(user)
        await session.commit()
        first = user.profile
        assert first.user_id == user.id
        second = Profile(bio="second")
        user.profile = second
        assert first.user is None
        await session.commit()
        assert (first.user_id, second.user_id) == (None, user.id)
        first.user = user
        assert user.profile is first
        assert second.user is None
        await session.commit()
        user.profile = None
        await session.commit()
    assert both.column("SELECT user_id FROM profiles") == [None, None]


# --- self-referential ------------------------------------------------------------------------------------------------


async def test_a_tree(both: Both) -> None:
    async with both.session() as session:
        root = Node(name="root", children=[Node(name="b"), Node(name="a", children=[Node(name="leaf")])])
        session.add(root)
        await session.commit()
        number = root.id
    async with both.session(strict=True) as session:
        query = Select(Node).Where(Node.id == number).Include(Node.children.Include(Node.children))
        root = await session.exec(query).one()
        assert [child.name for child in root.children] == ["a", "b"]
        leaf = root.children[0].children[0]
        assert leaf.name == "leaf"
        assert leaf.parent is root.children[0]
        leaf.parent = root
        assert leaf in root.children
        await session.commit()
    assert both.value("SELECT count(*) FROM nodes WHERE parent_id = %s", number) == 3


async def test_a_node_may_be_its_own_parent(both: Both) -> None:
    async with both.session() as session:
        node = Node(name="self")
        node.parent = node
        session.add(node)
        await session.commit()
    assert both.value("SELECT count(*) FROM nodes WHERE parent_id = id") == 1


async def test_a_circle_of_two_tables(both: Both) -> None:
    async with both.session() as session:
        department = Department(name="d")
        department.staff = [Employee(name="a"), Employee(name="b")]
        department.head = department.staff[0]
        session.add(department)
        await session.commit()
        assert department.head_id == department.staff[0].id
    rows = both.sql("SELECT e.name FROM departments d JOIN employees e ON e.id = d.head_id AND e.department_id = d.id")
    assert [row.name for row in rows] == ["a"]


# --- many-to-many ----------------------------------------------------------------------------------------------------


async def test_many_to_many_auto_from_both_sides(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        red, blue = Tag(name="red"), Tag(name="blue")
        one, two = Item(order_id=1, name="one", tags=[red, blue]), Item(order_id=1, name="two")
        blue.items.append(two)
        assert two.tags == [blue]
        session.add_all([one, two])
        await session.commit()
        assert both.value("SELECT count(*) FROM items_tags") == 3
        one.tags.remove(blue)
        assert blue.items == [two]
        red.items = []
        await session.commit()
    assert both.sql("SELECT item_id, tag_id FROM items_tags") == [(two.id, blue.id)]


async def test_many_to_many_by_model_and_by_its_name(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        course = Course(title="SQL")
        course.students = [Student(name="Ada"), Student(name="Bob")]
        session.add(course)
        await session.commit()
        number = course.id
        assert both.value("SELECT count(*) FROM enrolments WHERE since IS NOT NULL") == 2
    async with both.session(strict=True) as session:
        statements.clear()
        course = await session.exec(Select(Course).Where(Course.id == number).Include(Course.students)).one()
        assert [student.name for student in course.students] == ["Bob", "Ada"]  # order_by="-name"
        assert len(statements.sent) == 2
        student = course.students[0]
        course.students.remove(student)
        await session.commit()
        assert both.value("SELECT count(*) FROM students") == 2
    assert both.value("SELECT count(*) FROM enrolments") == 1


async def test_many_to_many_by_the_name_of_a_table(both: Both) -> None:
    async with both.session() as session:
        chess, go = Club(name="chess"), Club(name="go")
        student = Student(name="Ada", clubs=[chess, go])
        session.add(student)
        await session.commit()
        assert both.value("SELECT count(*) FROM club_members WHERE student_id = %s", student.id) == 2
        student.clubs = [go]
        await session.commit()
        assert both.column("SELECT club_id FROM club_members") == [go.id]


async def test_many_to_many_to_the_same_table(both: Both) -> None:
    async with both.session() as session:
        ada, bob = Student(name="Ada"), Student(name="Bob")
        ada.friends.append(bob)
        session.add(ada)
        await session.commit()
        assert both.sql("SELECT student_id, friend_id FROM friendships") == [(ada.id, bob.id)]
        number = ada.id
    async with both.session(strict=True) as session:
        students = await session.exec(Select(Student).Include(Student.friends).OrderBy(Student.name)).all()
        assert [[friend.name for friend in student.friends] for student in students] == [["Bob"], []]
        assert students[0].id == number


async def test_deleting_an_end_deletes_its_links(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        chess = Club(name="chess")
        ada, bob = Student(name="Ada", clubs=[chess]), Student(name="Bob", clubs=[chess])
        session.add_all([ada, bob])
        await session.commit()
        session.delete(ada)
        await session.commit()
        assert both.column("SELECT student_id FROM club_members") == [bob.id]
        session.delete(bob)
        await session.commit()
    assert both.value("SELECT count(*) FROM club_members") == 0
    assert both.value("SELECT count(*) FROM clubs") == 1


async def test_links_follow_a_rollback(both: Both) -> None:
    async with both.session() as session:
        item_tags = [Tag(name="a"), Tag(name="b")]
        item = Item(name="i", order=Order(user=User(name="u")), tags=item_tags[:1])
        session.add_all([item, *item_tags])
        await session.commit()
        item.tags = item_tags[1:]
        await session.flush()
        assert both.value("SELECT count(*) FROM items_tags") == 1
        await session.rollback()
        assert item.tags == item_tags[:1]
        assert item_tags[0].items == [item]
        await session.load(item_tags, Tag.items)
        assert item_tags[1].items == []
        await session.commit()
    assert both.column("SELECT tag_id FROM items_tags") == [item_tags[0].id]


# --- several relations to one table, composite keys ------------------------------------------------------------------


async def test_several_relations_over_composite_keys(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        a, b = Account(bank="x", number=1), Account(bank="y", number=2)
        transfers = [Transfer(sender=a, receiver=b, amount=n) for n in range(3)]
        transfers[0].receiver = a
        assert a.sent == transfers
        assert a.received == transfers[:1]
        assert b.received == transfers[1:]
        session.add_all(transfers)
        await session.commit()
        assert [(t.from_bank, t.from_number, t.to_bank, t.to_number) for t in transfers] == [
            ("x", 1, "x", 1), ("x", 1, "y", 2), ("x", 1, "y", 2),
        ]  # fmt: skip
    async with both.session(strict=True) as session:
        statements.clear()
        accounts = await session.exec(
            Select(Account).Include(Account.sent, Account.received).OrderBy(Account.bank)
        ).all()
        assert [(len(account.sent), len(account.received)) for account in accounts] == [(3, 1), (0, 2)]
        assert len(statements.sent) == 3
        transfers = await session.exec(Select(Transfer).Include(Transfer.sender, Transfer.receiver)).all()
        assert {transfer.sender.bank for transfer in transfers} == {"x"}


async def test_half_a_composite_key_leads_nowhere(both: Both) -> None:
    both.sql("INSERT INTO accounts (bank, number) VALUES ('x', 1)")
    both.sql("INSERT INTO transfers (id, from_bank) VALUES (1, 'x')")
    async with both.session() as session:
        transfer = await session.exec(Select(Transfer).Include(Transfer.sender)).one()
        assert transfer.sender is None


# --- the ways to write a relation ------------------------------------------------------------------------------------


def test_spellings() -> None:
    kinds = {
        User.orders: (True, Order), User.profile: (False, Profile), Order.user: (False, User),
        Order.items: (True, Item), Item.order: (False, Order), Item.tags: (True, Tag), Node.parent: (False, Node),
        Node.children: (True, Node), Transfer.sender: (False, Account), Student.courses: (True, Course),
        Course.students: (True, Student), Student.friends: (True, Student),
    }  # fmt: skip
    for relation, (many, target) in kinds.items():
        assert relation.many is many, relation
        assert relation.target.cls is target, relation


def test_the_annotation_alone_and_every_spelling() -> None:
    @table("spelled_owners")
    class Owner(PSQLModel):
        id: int = Column(primary_key=True)
        a: Relation[list["Thing"]]
        b: Relation[List["Thing"]] = Relation(back="owner")  # noqa: UP006
        c: "Relation[list[Thing]]" = Relation(back="owner")
        d: list["Thing"] = Relation("Thing", back="owner")

    @table("spelled_things")
    class Thing(PSQLModel):
        id: int = Column(primary_key=True)
        owner_id: int | None = Column(foreign_key=Owner.id)
        owner: Relation[Optional["Owner"]]  # noqa: UP045
        same: Relation["Owner | None"] = Relation(back="a")
        bare: "Owner" = Relation(back="a")

    for relation in (Owner.a, Owner.b, Owner.c, Owner.d):
        assert relation.target.cls is Thing
        assert relation.many
    for relation in (Thing.owner, Thing.same, Thing.bare):
        assert relation.target.cls is Owner
        assert not relation.many


# --- what can't be resolved ------------------------------------------------------------------------------------------


def test_an_ambiguity_names_the_candidates() -> None:
    @table("ambiguous_people")
    class Someone(PSQLModel):
        id: int = Column(primary_key=True)
        letters: Relation[list["Letter"]] = Relation()

    @table("ambiguous_letters")
    class Letter(PSQLModel):
        id: int = Column(primary_key=True)
        sender_id: int = Column(foreign_key="ambiguous_people.id")
        receiver_id: int = Column(foreign_key="ambiguous_people.id")
        sender: Relation["Someone"] = Relation()

    for relation in (Someone.letters, Letter.sender):
        with pytest.raises(RelationError, match=r"sender_id.*receiver_id") as caught:
            relation.target
        assert "foreign_keys" in str(caught.value)
    with pytest.raises(RelationError, match="foreign_keys"):
        Letter(sender=Someone())


def test_a_missing_key_and_an_unknown_class() -> None:
    @table("missing_a")
    class Lonely(PSQLModel):
        id: int = Column(primary_key=True)
        others: Relation[list["Other"]] = Relation()
        unknown: Relation["Nobody"] = Relation()  # noqa: F821
        wrong: Relation["Other"] = Relation(foreign_keys="no_such_column")
        linked: Relation[list["Lonely"]] = Relation(secondary="lonely_links")

    @table("missing_b")
    class Other(PSQLModel):
        id: int = Column(primary_key=True)

    with pytest.raises(RelationError, match="foreign key"):
        Lonely.others.target
    with pytest.raises(RelationError, match="Nobody"):
        Lonely.unknown.target
    with pytest.raises(RelationError, match=r"wrong.*no_such_column|no_such_column"):
        Lonely.wrong.target
    with pytest.raises(RelationError, match="secondary_keys"):
        Lonely.linked.target


def test_a_link_needs_a_key_to_each_end() -> None:
    @table("bad_links")
    class BadLink(PSQLModel):
        id: int = Column(primary_key=True)
        tag_id: int = Column(foreign_key="tags.id")

    @table("bad_ends")
    class End(PSQLModel):
        id: int = Column(primary_key=True)
        tags: Relation[list[Tag]] = Relation(secondary=BadLink)

    with pytest.raises(RelationError, match="one foreign key to End and one to Tag"):
        End.tags.target


@pytest.mark.parametrize("how", ["added", "put into a list", "its own relation", "one-to-one", "many-to-many"])
async def test_an_object_whose_row_is_gone_is_not_taken_up_silently(both: Both, how: str) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    async with both.session() as session:
        item = Item(name="pen", tags=[Tag(name="new")])
        order = Order(user_id=1, total=1, items=[item])
        profile = Profile(user_id=1)
        session.add_all([order, profile])
        await session.commit()
        bob = await session.exec(Select(User).Where(User.id == 2).Include(User.orders, User.profile)).one()
        order.items.append(other := Item(name="ink", tags=[]))
        gone = {"one-to-one": profile, "many-to-many": item.tags[0]}.get(how, order)
        session.delete(gone)
        if how == "added":  # not flushed: it is taken back
            session.add(gone)
            assert session.deleted == ()
            session.delete(gone)
        await session.flush()
        with pytest.raises(ObjectStateError, match="is deleted, its row is gone already"):
            if how == "added":
                session.add(gone)
            elif how == "put into a list":
                bob.orders.append(gone)
            elif how == "its own relation":
                gone.user = bob
            elif how == "one-to-one":
                bob.profile = gone
            else:
                other.tags = [gone]
        assert (bob.orders, bob.profile, other.tags) == ([], None, [])
        await session.commit()
        session.add(gone)  # a new row
        await session.rollback()
    assert both.value("SELECT count(*) FROM users") == 2


async def test_a_related_object_that_was_deleted(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    async with both.session() as session:
        user = await session.get(User, 1)
        session.delete(user)
        await session.flush()
        session.add(Order(user=user, total=1))
        with pytest.raises(PSQLModelError):
            await session.commit()
        await session.rollback()
        assert await session.get(User, 1) is user
