"""The tables. A release's record is one JSON document; what is searched or must be unique stands beside it."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("app", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("label", String(64), nullable=False, unique=True),
    Column("phase", String(16), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("author", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("record", Text, nullable=False),
    UniqueConstraint("app", "number"),
    # At most one open release per app, whoever writes (I13 in docs/safety.md).
    Index("ix_releases_one_open", "app", unique=True, sqlite_where=text("open = 1"), postgresql_where=text("open")),
)

votes = Table(
    "votes",
    metadata,
    Column("release", ForeignKey("releases.label"), primary_key=True),
    Column("person", BigInteger, primary_key=True, autoincrement=False),
    Column("approve", Boolean, primary_key=True),
    Column("record", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("release", ForeignKey("releases.label"), index=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("text", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    sqlite_autoincrement=True,  # an id is never used again, so "told up to here" stays true
)

cards = Table(
    "cards",
    metadata,
    Column("release", ForeignKey("releases.label"), primary_key=True),
    Column("channel", BigInteger, nullable=False),
    Column("message", BigInteger, nullable=False, unique=True),
    Column("thread", BigInteger),
    Column("shown", String(64), nullable=False),
    Column("told", Integer, nullable=False),
    Column("pinged", Boolean, nullable=False),
    Column("alarmed", Boolean, nullable=False, server_default=false()),
)

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
