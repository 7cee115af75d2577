"""English caption templates: one method per event, each returning a clause without capital or full stop."""

from typing import Any

from tenku.world import lexicon
from tenku.world.caption_writer import CaptionWriter, group_color


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def listed(phrases: list[str]) -> str:
    """a / a and b / a, b and c"""
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


class English(CaptionWriter):
    language = "en"

    def sentence(self, say_light: bool) -> str:
        text = self.clause()
        if say_light and self.full:
            text = self.pick(f"{text}, {self.light()}", f"{self.light()}, {text}")
        elif say_light:
            text = f"{text} {self.light()}"
        text = text[0].upper() + text[1:] + "."
        return f"{text} {self.camera()}" if self.full else text

    def light(self) -> str:
        neon = listed([self.color(name) for name in self.description.get("neon") or ["colorful"]])
        backdrop = self.description.get("backdrop")
        a_backdrop = with_article(self.color(backdrop)) if backdrop else ""
        return self.light_template().format(neon=neon, a_backdrop=a_backdrop)

    # --- nouns and places

    def noun(self, thing: dict[str, Any], article: bool = True) -> str:
        before, color, after = self.color_and_material(thing)
        kind = self.say(lexicon.KINDS, thing["kind"])
        phrase = " ".join(word for word in (before, color, after, kind) if word)
        return with_article(phrase) if article else phrase

    def on(self, preposition: str = "on") -> str:
        """ " on grass", or nothing where the floor is not told."""
        return f" {preposition} {self.say(lexicon.FLOORS, self.description['floor'])}" if self.say_floor else ""

    def way(self, whose: str = "direction") -> str:
        """ " to the left", or nothing where there is no direction."""
        direction = self.description.get(whose)
        return f" {lexicon.DIRECTIONS[direction].en[0]}" if direction else ""

    def bouncing(self) -> str:
        return {1: "bounces once", 2: "bounces twice"}.get(self.bounces, "bounces several times")

    def some(self, plural: str) -> str:
        """ "seven colorful blocks" """
        return f"{self.number(self.count)} {self.color(group_color(self.description))} {plural}"

    # --- events

    def drop(self) -> str:
        several = len(self.mains) > 1
        fall = self.pick("fall", "drop") if several else self.pick("falls", "drops")
        text = f"{listed([self.noun(thing) for thing in self.mains])} {fall}{self.on('onto') or ' down'}"
        if not self.full:
            return text
        if several:
            return text + (" and come to rest" if self.rest else " and keep moving")
        if self.bounces:
            return f"{text} and {self.bouncing()}" + (", then comes to rest" if self.rest else "")
        return text + (" and comes to rest" if self.rest else " and keeps moving")

    def roll(self) -> str:
        return self._travel(self.pick("rolls"))

    def slide(self) -> str:
        return self._travel(self.pick("slides", "glides"))

    def _travel(self, moves: str) -> str:
        text = f"{self.noun(self.main)} {moves}{self.way()}{self.on(self.pick('across', 'on'))}"
        if not self.full:
            return text
        return text + (self.pick(" and comes to a stop", " and stops") if self.rest else " and keeps going")

    def collide(self) -> str:
        subject, target = self.noun(self.main), self.noun(self.target or {"kind": "box"})
        moves = "rolls" if self.rolls else "slides"
        if not self.hit:
            return f"{subject} {moves}{self.way()}{self.on()} towards {target} but does not reach it"
        meets = self.pick("knocks over", "topples") if self.tipped else self.pick("bumps into", "hits")
        if not self.full:
            return f"{subject} {meets} {target}{self.on()}"
        after = "" if self.tipped else ", pushing it away" if self.moved else ", which barely moves"
        return f"{subject} {moves}{self.way()}{self.on()} and {meets} {target}{after}"

    def tower(self) -> str:
        return self._demolish("tower")

    def pyramid(self) -> str:
        return self._demolish("pyramid")

    def _demolish(self, shape: str) -> str:
        subject = self.noun(self.main)
        pile = f"a {shape} of {self.some('blocks')}" if self.full else f"a {shape} of blocks"
        if not self.hit:
            return f"{subject} flies{self.way()} past {pile}{self.on()} and misses it"
        collapsed = 2 * self.tipped >= self.count and self.tipped > 0
        if not self.full:
            does = "knocks down" if collapsed else "knocks some blocks off" if self.tipped else "hits"
            return f"{subject} {does} {pile}{self.on()}"
        if collapsed:
            end = self.pick("knocks it down", "makes it collapse")
        elif self.tipped:
            end = "knocks some of the blocks off"
        else:
            end = "pushes it without knocking it over" if self.moved else "does not knock it over"
        return f"{subject} flies{self.way()} into {pile}{self.on()} and {end}"

    def domino(self) -> str:
        row = f"a row of {self.some('dominoes')}" if self.full else "a row of dominoes"
        hits = f"rolls{self.way()} into" if self.full else "hits"
        text = f"{self.noun(self.main)} {hits} {row}{self.on()}"
        if self.tipped == 0:
            return f"{text} but they stay standing"
        if not self.full:
            return text + (" and they fall" if self.tipped > 1 else " and one falls")
        if self.tipped >= self.count:
            return f"{text} and " + self.pick("they all fall one after another", "all of them topple in a chain")
        if self.tipped >= self.count - 1:
            return f"{text} and almost all of them fall one after another"
        if self.tipped == 1:
            return f"{text} and only one of them falls"
        return f"{text} and {self.number(self.tipped)} of them fall"

    def ramp(self) -> str:
        moves = "rolls" if self.rolls else "slides"
        text = f"{self.noun(self.main)} {moves} down a ramp{self.way()}{self.on('onto')}"
        if self.target is None:
            return text
        target = self.noun(self.target)
        if not self.hit:
            return f"{text} towards {target} but does not reach it" if self.full else text
        return f"{text} and {self.pick('knocks over', 'topples') if self.tipped else 'bumps into'} {target}"

    def pendulum(self) -> str:
        swings = self.pick("swings back and forth on a string", "swings like a pendulum")
        text = f"{self.noun(self.main)} {swings}{self.on('above')}"
        if self.target is None or not (self.full or self.hit):
            return text
        target = self.noun(self.target)
        if not self.hit:
            return f"{text} without touching {target}"
        return f"{text} and knocks {target} off its stand" if self.tipped else f"{text} and hits {target}"

    def throw(self) -> str:
        arc = self.pick("through the air", "in a high arc")
        text = f"{self.noun(self.main)} is {self.pick('thrown', 'tossed')}{self.way()} {arc}"
        if self.description.get("wall"):
            text += " over a brick wall" if self.over_wall else " but does not get over a brick wall"
        if self.say_floor:
            text += f" and lands{self.on()}"
        return f"{text}, then {self.bouncing()}" if self.full and self.bounces else text

    def hide(self) -> str:
        wall = with_article(f"{self.color(self.thing('wall')['color'])} wall")
        text = f"{self.noun(self.main)} {'rolls' if self.rolls else 'slides'}{self.way()}{self.on()}"
        if self.description.get("stays"):
            return f"{text} behind {wall} and " + self.pick("does not come out again", "stops behind it")
        return f"{text} behind {wall} and " + self.pick("comes out the other side", "reappears on the other side")

    def bite(self) -> str:
        food, n = self.noun(self.main), self.description.get("count") or 1
        bites = self.pick("a bite is", "one bite is") if n == 1 else f"{self.number(n)} bites are"
        if not self.full:
            return f"{bites} taken out of {food}{self.on()}"
        stays = "the bite stays" if n == 1 else "the bites stay"
        return f"{bites} taken out of {food} on a white plate{self.on()}, and {stays}"

    def brush(self) -> str:
        shape = lexicon.STROKES[self.description["stroke"]].en[0]
        paint = self.color(self.description["paint"])
        draws = self.pick("a paintbrush draws", "a brush paints")
        return f"{draws} {shape} in {paint} paint on a white canvas{self.on('standing on')}"

    def trail(self) -> str:
        paint = self.color(self.description.get("paint") or self.main["color"])
        text = f"{self.noun(self.main)} rolls{self.way()}{self.on('across')}"
        return f"{text}, " + self.pick(f"leaving a trail of {paint} paint", f"leaving a {paint} paint trail")

    def pour(self) -> str:
        balls = self.some("balls") if self.full else f"{self.color(group_color(self.description))} balls"
        text = f"{balls} {self.pick('fall', 'pour')} into a wooden tray{self.on()}"
        return f"{text} and pile up" if self.full else text

    def cover(self) -> str:
        box, subject = with_article(f"{self.color(self.thing('box')['color'])} box"), self.noun(self.main)
        if self.description.get("reveal"):
            return f"{box} {self.pick('lifts up', 'rises')}{self.on('from')} and reveals {subject}"
        text = f"{box} comes down over {subject}{self.on()}"
        return f"{text}, hides it, then lifts to show it is still there" if self.full else f"{text} and hides it"

    def walk(self) -> str:
        coat = with_article(f"{self.color(self.main['color'])} {self.pick('coat', 'jacket')}")
        text = f"a {self.say(lexicon.KINDS, 'person')} in {coat} walks{self.way()}{self.on(self.pick('across', 'on'))}"
        return f"{text} past a tree" if self.full and self.description.get("tree") else text

    def apples(self) -> str:
        color = self.color(group_color(self.description))
        text = f"{self.some('apples') if self.full else f'{color} apples'} fall from a tree{self.on('onto')}"
        return f"{text}, one after another" if self.full else text

    def drive(self) -> str:
        text = f"{self.noun(self.main)} drives{self.way()}{self.on(self.pick('along', 'on'))}"
        if not self.full:
            return text
        past = " past a tree" if self.description.get("tree") else ""
        return text + past + (self.pick(" and stops", " and comes to a stop") if self.rest else " and keeps going")

    def street(self) -> str:
        car = self.noun(self.target or {"kind": "automobile"})
        if not self.full:
            return f"{self.walk()} and {car} drives by"
        return f"{self.walk()} while {car} drives{self.way('behind')} behind them"

    def stairs(self) -> str:
        does = "rolls" if self.main["kind"] == "cylinder" else self.pick("bounces", "hops")
        if not self.full:
            return f"{self.noun(self.main)} {does} down the stairs{self.on('onto')}"
        flight = " ".join(word for word in self.color_and_material(self.thing("stairs")) if word)
        text = (
            f"{self.noun(self.main)} {does} down {self.number(self.count)} {flight} stairs{self.way()}{self.on('onto')}"
        )
        return text + (" and comes to rest" if self.rest else " and keeps rolling")
