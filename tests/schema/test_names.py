from psqlmodel.schema.names import MAX_BYTES, stable_name


def test_short_names_are_joined():
    assert stable_name("fk", "orders", "user_id", "users") == "fk_orders_user_id_users"


def test_long_names_are_cut_and_stay_distinct():
    one, other = stable_name("ix", "t" * 40, "a" * 40), stable_name("ix", "t" * 40, "a" * 39 + "b")
    assert one != other
    assert len(one.encode()) == len(other.encode()) == MAX_BYTES
    assert one == stable_name("ix", "t" * 40, "a" * 40)
    assert one.startswith("ix_" + "t" * 40 + "_a")


def test_63_bytes_are_not_cut():
    assert stable_name("x" * MAX_BYTES) == "x" * MAX_BYTES
    assert stable_name("x" * (MAX_BYTES + 1)) != "x" * (MAX_BYTES + 1)


def test_names_are_cut_between_characters():
    name = stable_name("ix", "ü" * 40)
    assert len(name.encode()) <= MAX_BYTES
    assert "�" not in name
