"""Prompts that the model that ships draws well, in both languages: what `tenku examples` shows."""

from typing import NamedTuple


class Example(NamedTuple):
    """A prompt in English and in Chinese, and what it is an example of."""

    kind: str
    english: str
    chinese: str


# fmt: off
EXAMPLES = (
    Example("people", "A person in a red coat walks on wet asphalt at night under neon lights.",
            "霓虹灯下，一个穿红色外套的人走在湿漉漉的柏油路上。"),
    Example("people", "A person in a yellow jacket walks past a tree on snow.",
            "一个穿黄色夹克的人在雪地上从一棵树旁走过。"),
    Example("people", "A person in a blue coat walks past a car on wet asphalt.",
            "一个穿蓝色外套的人在街上走过一辆汽车。"),
    Example("people", "A person in a green coat walks on grass.", "一个穿绿色外套的人在草地上走。"),
    Example("cars", "A blue car drives through the snow.", "一辆蓝色汽车在雪地上行驶。"),
    Example("cars", "A red car drives past a tree on a sunny day.",
            "晴天里，一辆红色汽车从一棵树旁开过。"),
    Example("cars", "A yellow car drives down the street at night.",
            "夜晚，一辆黄色汽车在街道上行驶。"),
    Example("falling", "Three red apples fall from a tree onto grass.",
            "三个红色的苹果从树上掉到草地上。"),
    Example("rolling", "A blue ball rolls over wet asphalt at night under neon lights.",
            "霓虹灯下，一个蓝色的球滚过湿漉漉的柏油路。"),
    Example("rolling", "An orange ball rolls over a checkered floor.", "一个橙色的球滚过棋盘格地板。"),
    Example("sliding", "A green cube slides over ice at sunset.",
            "日落时分，一个绿色的方块滑过冰面。"),
    Example("collisions", "A red ball bumps into a blue cube on a wooden floor.",
            "木地板上，一个红色的球撞上一个蓝色的方块。"),
    Example("towers", "A tower of blocks collapses at sunset.",
            "日落时分，一座积木塔倒塌。"),
    Example("towers", "A pyramid of blocks collapses on sand.",
            "沙地上，一座积木金字塔倒塌。"),
    Example("dominoes", "A row of dominoes falls over on a marble floor.",
            "大理石地面上，一排多米诺骨牌倒下。"),
    Example("ramps and stairs", "A purple ball rolls down a ramp and bumps into a cube.",
            "一个紫色的球沿斜坡滚下，撞上一个方块。"),
    Example("ramps and stairs", "A red ball bounces down the stairs.",
            "一个红色的球沿台阶弹跳下来。"),
    Example("swinging", "A purple ball swings on a string.",
            "一个紫色的球吊在绳子上来回摆动。"),
    Example("throwing", "An orange ball is thrown over a wall.",
            "一个橙色的球被抛出，越过砖墙。"),
    Example("lasting change", "A brush paints a red heart.",
            "画笔用红色颜料画出一颗爱心。"),
    Example("lasting change", "A ball rolls over the floor and leaves a trail of green paint.",
            "一个球在地面上滚动，留下一道绿色颜料痕迹。"),
    Example("pouring", "Ten colorful balls pour into a wooden tray.",
            "十个五颜六色的小球倒进木盘里。"),
)
# fmt: on
