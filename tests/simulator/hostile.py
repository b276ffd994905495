"""A node that joins as others do, and then sends what it wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from port17.bottles.sync import Message, Said, Update, Whole
from port17.bottles.sync_codec import encode
from port17.bottles.update import ContentsUpdate
from port17.records.bottle import Bottle
from port17.records.mark import Mark, SignedMark, claim_of
from simulator.author import NETWORK, SCHEME, Author
from simulator.node import Node
from simulator.process import Talk
from simulator.ship import Data


class Hostile(Node):
    """Its own gossip and manager go on, so that it stays where it is."""

    honest = False

    @property
    def followers(self) -> list[Talk]:
        """Whoever follows it over a lane, in the order of fingerprints."""
        found = [talk for talk in self.talks.values() if not talk.followed and talk.end.peer is not None]
        return sorted(found, key=lambda talk: talk.end.peer or b"")

    def shout(self, messages: Sequence[Message], to: Iterable[Talk] | None = None) -> None:
        """Send messages as a source.

        :param to: None is all followers.
        """
        data = b"".join(map(encode, messages))
        for talk in self.followers if to is None else to:
            talk.end.send(Data(data, followed=True))

    def equivocate(self) -> None:
        """Tell one half of the followers that it is idle, and the other that it is busy, in one second."""
        now_s = int(self.wall_s)
        self.author.contents_seq = now_s
        lanes = sorted(self.lanes)
        said: list[Message] = []
        for load in (0, 1000):
            self.author.contents_seq = now_s
            bottle = self.author.bottle(lanes, now_s, load=load)
            said.append(Update(self.fingerprint, ContentsUpdate.of(bottle).encode()))
        followers = self.followers
        for message, some in zip(said, (followers[::2], followers[1::2]), strict=True):
            self.shout([message], some)

    def invent(self, count: int) -> list[Author]:
        """So many nodes that there are not, each with a valid bottle."""
        made = [Author(self.chance, f"{self.name}-{number}", slots=0) for number in range(count)]
        self.shout([Whole(author.bottle(now_s=self.wall_s).encode()) for author in made])
        return made

    def squat(self, victim: Bottle, since: int) -> None:
        """Claim another's name, from a time of our own choice on."""
        self.author.relabel(name=victim.label.name, since=since)
        self.publish(self.author.bottle(sorted(self.lanes), self.wall_s))
        self.settle()

    def slander(self, victims: Iterable[Bottle]) -> None:
        """Say of others that they are not where they say."""
        marks: list[Message] = []
        for bottle in victims:
            mark = Mark.made(
                about=bottle.fingerprint,
                claim=claim_of(bottle.label),
                by=self.fingerprint,
                seq=int(self.wall_s),
                failure="it is not there",
            )
            marks.append(Said("mark", SignedMark.seal(NETWORK, SCHEME, self.author.key, mark).encode()))
        self.shout(marks)
