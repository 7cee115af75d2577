"""Chinese caption templates: one method per event, each returning a clause without full stop."""

from typing import Any

from tenku.world import lexicon
from tenku.world.caption_writer import CaptionWriter, group_color


def counted(kind: str, phrase: str) -> str:
    """一 + measure word + phrase"""
    return "一" + lexicon.MEASURES.get(kind, "个") + phrase


def colored(color: str, noun: str) -> str:
    """红色的方块; 五颜六色的 already ends in 的."""
    return color + ("" if color.endswith("的") else "的") + noun


class Chinese(CaptionWriter):
    language = "zh"

    def sentence(self, say_light: bool) -> str:
        text = self.clause()
        if say_light:
            text = f"{self.light()}，{text}"
        return f"{text}。{self.camera()}" if self.full else f"{text}。"

    def light(self) -> str:
        neon = "、".join(self.color(name) for name in self.description.get("neon") or ["colorful"])
        backdrop = self.description.get("backdrop")
        return self.light_template().format(neon=neon, backdrop=self.color(backdrop) if backdrop else "")

    # --- nouns and places

    def noun(self, thing: dict[str, Any], article: bool = True) -> str:
        before, color, after = self.color_and_material(thing)
        kind = self.say(lexicon.KINDS, thing["kind"])
        phrase = before + color + after + kind
        return counted(thing["kind"], phrase) if article else phrase

    def floor(self) -> str:
        return self.say(lexicon.FLOORS, self.description["floor"])

    def at(self) -> str:
        """在草地上, or nothing where the floor is not told."""
        return f"在{self.floor()}上" if self.say_floor else ""

    def onto(self) -> str:
        """到草地上, or nothing."""
        return f"到{self.floor()}上" if self.say_floor else ""

    def of_place(self) -> str:
        """草地上的, or nothing."""
        return f"{self.floor()}上的" if self.say_floor else ""

    def way(self, whose: str = "direction") -> str:
        direction = self.description.get(whose)
        return lexicon.DIRECTIONS[direction].zh[0] if direction else ""

    def bouncing(self) -> str:
        return {1: "弹起一次", 2: "弹起两次"}.get(self.bounces, "弹跳了好几次")

    def some(self, measure: str, plural: str) -> str:
        """七块五颜六色的积木"""
        return self.number(self.count) + measure + colored(self.color(group_color(self.description)), plural)

    # --- events

    def drop(self) -> str:
        nouns = [self.noun(thing) for thing in self.mains]
        subject = nouns[0] if len(nouns) == 1 else "、".join(nouns[:-1]) + "和" + nouns[-1]
        text = f"{subject}从空中{self.pick('落', '掉')}{self.onto() or '下来'}"
        if not self.full:
            return text
        if len(nouns) == 1 and self.bounces:
            return f"{text}，{self.bouncing()}" + ("，最后静止" if self.rest else "")
        return text + (self.pick("，然后静止", "，停住不动") if self.rest else "，还在继续运动")

    def roll(self) -> str:
        return self._travel("滚动")

    def slide(self) -> str:
        return self._travel("滑动")

    def _travel(self, moves: str) -> str:
        text = f"{self.noun(self.main)}{self.at()}{self.way()}{moves}"
        if not self.full:
            return text
        return text + (self.pick("，最后停下", "，慢慢停住") if self.rest else "，一直没有停")

    def collide(self) -> str:
        subject, target = self.noun(self.main), self.noun(self.target or {"kind": "box"})
        moves = "滚" if self.rolls else "滑"
        if not self.hit:
            return f"{subject}{self.at()}{self.way()}{moves}向{target}，但没有碰到它"
        meets = self.pick("撞倒了", "碰翻了") if self.tipped else self.pick("撞上", "碰到")
        if not self.full:
            return f"{subject}{self.at()}{meets}{target}"
        after = "" if self.tipped else "，把它推开" if self.moved else "，对方几乎没动"
        return f"{subject}{self.at()}{self.way()}{moves}去，{meets}{target}{after}"

    def tower(self) -> str:
        return self._demolish("塔")

    def pyramid(self) -> str:
        return self._demolish("金字塔")

    def _demolish(self, shape: str) -> str:
        subject = self.noun(self.main)
        pile = f"由{self.some('块', '积木')}搭成的{shape}" if self.full else f"积木{shape}"
        pile = self.of_place() + pile
        if not self.hit:
            return f"{subject}{self.way()}飞过{pile}，没有碰到"
        collapsed = 2 * self.tipped >= self.count and self.tipped > 0
        if not self.full:
            if collapsed:
                return f"{subject}撞塌了{pile}"
            return f"{subject}撞上{pile}" + ("，撞掉了几块" if self.tipped else "，塔没有倒")
        if collapsed:
            end = self.pick("把它撞塌了", "积木散落一地")
        elif self.tipped:
            end = "撞掉了几块积木"
        else:
            end = "只把它推动了一点，没有撞倒" if self.moved else "塔没有倒"
        return f"{subject}{self.way()}飞向{pile}，{end}"

    def domino(self) -> str:
        row = "一排" + (self.some("块", "多米诺骨牌") if self.full else "多米诺骨牌")
        way = self.way() if self.full else ""
        text = f"{self.noun(self.main)}{way}撞上{self.of_place()}{row}"
        if self.tipped == 0:
            return f"{text}，骨牌没有倒"
        if not self.full:
            return text + ("，骨牌倒下" if self.tipped > 1 else "，倒下一块")
        if self.tipped >= self.count:
            return f"{text}，" + self.pick("骨牌一块接一块全部倒下", "骨牌依次全部倒下")
        if self.tipped >= self.count - 1:
            return f"{text}，骨牌依次倒下，几乎全部倒了"
        return f"{text}，" + ("只倒下一块" if self.tipped == 1 else f"倒下了{self.number(self.tipped)}块")

    def ramp(self) -> str:
        text = f"{self.noun(self.main)}沿斜坡{self.way()}{'滚' if self.rolls else '滑'}{self.onto() or '下'}"
        if self.target is None:
            return text
        target = self.noun(self.target)
        if not self.hit:
            return f"{text}，朝{target}而去，但没有碰到" if self.full else text
        return f"{text}，{self.pick('撞倒了', '碰翻了') if self.tipped else '撞上'}{target}"

    def pendulum(self) -> str:
        swings = self.pick("吊在绳子上来回摆动", "像钟摆一样来回摆动")
        text = f"{self.noun(self.main)}{f'{self.at()}方' if self.say_floor else ''}{swings}"
        if self.target is None or not (self.full or self.hit):
            return text
        if not self.hit:
            return f"{text}，没有碰到旁边的{self.noun(self.target, article=False)}"
        target = self.noun(self.target)
        return f"{text}，把{target}撞下了台子" if self.tipped else f"{text}，撞到{target}"

    def throw(self) -> str:
        arc = self.pick("划过一道弧线", "高高飞起")
        text = f"{self.noun(self.main)}被{self.pick('抛出', '扔出')}，{self.way()}{arc}"
        if self.description.get("wall"):
            text += "，越过砖墙" if self.over_wall else "，没能越过砖墙"
        if self.say_floor:
            text += f"，落{self.at()}"
        return f"{text}，{self.bouncing()}" if self.full and self.bounces else text

    def hide(self) -> str:
        wall = counted("wall", f"{self.color(self.thing('wall')['color'])}的墙")
        moves = "滚" if self.rolls else "滑"
        text = f"{self.noun(self.main)}{self.at()}{self.way()}{moves}到{wall}后面，"
        if self.description.get("stays"):
            return text + self.pick("没有再出来", "停在墙后")
        return text + self.pick("又从另一侧出来", "然后在另一侧重新出现")

    def bite(self) -> str:
        bites = f"被咬了{self.number(self.description.get('count') or 1)}口"
        if not self.full:
            return f"{self.of_place()}{self.noun(self.main)}{bites}"
        food = self.noun(self.main, article=False)
        return f"{self.of_place()}白色盘子里，{food}{bites}，" + self.pick("缺口一直留着", "留下咬痕")

    def brush(self) -> str:
        shape = lexicon.STROKES[self.description["stroke"]].zh[0]
        paint = self.color(self.description["paint"])
        draws = self.pick("一支画笔", "画笔")
        return f"{draws}在{self.of_place()}白色画布上用{paint}颜料画出{shape}"

    def trail(self) -> str:
        paint = self.color(self.description.get("paint") or self.main["color"])
        text = f"{self.noun(self.main)}{self.at()}{self.way()}滚动，"
        return text + self.pick(f"留下一道{paint}颜料痕迹", f"身后留下一道{paint}的颜料")

    def pour(self) -> str:
        balls = self.some("个", "小球") if self.full else colored(self.color(group_color(self.description)), "小球")
        text = f"{balls}{self.pick('落进', '倒进')}{self.of_place()}木盘里"
        return f"{text}，堆在一起" if self.full else text

    def cover(self) -> str:
        box, subject = f"{self.color(self.thing('box')['color'])}盒子", self.noun(self.main)
        if self.description.get("reveal"):
            return f"{self.of_place()}{counted('box', box)}{self.pick('升起', '被抬起')}，露出{subject}"
        text = f"{counted('box', box)}落下，盖住{self.of_place()}{subject}"
        return f"{text}，再抬起时它还在那里" if self.full else text

    def walk(self) -> str:
        coat = self.color(self.main["color"]) + self.pick("外套", "夹克")
        text = f"一个穿{coat}的{self.say(lexicon.KINDS, 'person')}{self.at()}{self.way()}{self.pick('走', '行走')}"
        return f"{text}，从一棵树旁走过" if self.full and self.description.get("tree") else text

    def apples(self) -> str:
        color = self.color(group_color(self.description))
        text = self.some("个", "苹果") if self.full else colored(color, "苹果")
        text = f"{text}从树上{self.pick('落', '掉')}{self.onto() or '下来'}"
        return f"{text}，一个接一个" if self.full else text

    def drive(self) -> str:
        moves = "行驶" if self.rest else self.pick("行驶", "开去")
        text = f"{self.noun(self.main)}{self.at()}{self.way()}{moves}"
        if not self.full:
            return text
        past = "，从一棵树旁开过" if self.description.get("tree") else ""
        return text + past + (self.pick("，然后停下", "，慢慢停住") if self.rest else "，一直没有停")

    def street(self) -> str:
        car = self.noun(self.target or {"kind": "automobile"})
        if not self.full:
            return f"{self.walk()}，{car}从旁边开过"
        return f"{self.walk()}，{car}从后面{self.way('behind')}开过"

    def stairs(self) -> str:
        does = "滚" if self.main["kind"] == "cylinder" else self.pick("弹跳", "蹦跳")
        down = self.onto() or "下来"
        if not self.full:
            return f"{self.noun(self.main)}沿楼梯{does}{down}"
        flight = "".join(self.color_and_material(self.thing("stairs")))
        text = f"{self.noun(self.main)}沿{self.number(self.count)}级{flight}台阶{self.way()}{does}{down}"
        return text + (self.pick("，最后静止", "，停住不动") if self.rest else "，还在继续滚动")
