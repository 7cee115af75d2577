"""The vocabulary of the miniature world: every word a caption may use, in English and Chinese.

Tables only: no grammar (english.py, chinese.py) and no RGB values (scenes). In a list of synonyms the first
is the common one: a small model meets it most of the time, and still learns the others.
"""

from typing import NamedTuple


class Words(NamedTuple):
    """Synonyms for one thing, most common first."""

    en: tuple[str, ...]
    zh: tuple[str, ...]


# fmt: off
EVENTS = (
    "drop", "roll", "slide", "collide", "tower", "pyramid", "domino", "ramp",
    "pendulum", "throw", "hide", "bite", "brush", "trail", "pour", "cover", "walk", "apples",
    "drive", "street", "stairs",
)
# fmt: on

# fmt: off
COLORS = {english: Words((english,), (chinese,)) for english, chinese in {
    "red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色", "purple": "紫色",
    "pink": "粉色", "turquoise": "青绿色", "white": "白色", "black": "黑色", "brown": "棕色", "gray": "灰色",
    "gold": "金色", "silver": "银色", "brick": "砖红色", "chocolate": "巧克力", "colorful": "五颜六色的",
    # light and backdrop only
    "cyan": "青色", "mint": "薄荷绿", "peach": "桃色", "lavender": "淡紫色", "cream": "米色",
}.items()}
# fmt: on

# A material is said before the colour, after it, or both: "a shiny red metal ball", "锃亮的红色金属球".
MATERIALS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "matte": {"en": (("matte", ""),), "zh": (("哑光", ""),)},
    "plastic": {"en": (("", "plastic"), ("glossy", "")), "zh": (("", "塑料"), ("光滑的", ""))},
    "rubber": {"en": (("", "rubber"),), "zh": (("", "橡胶"),)},
    "metal": {"en": (("", "metal"), ("shiny", "metal")), "zh": (("", "金属"), ("锃亮的", "金属"))},
    "wooden": {"en": (("", "wooden"),), "zh": (("", "木头"), ("", "木质"))},
    "striped": {"en": (("", "striped"),), "zh": (("", "条纹"),)},
    "dotted": {"en": (("", "spotted"), ("", "dotted")), "zh": (("", "圆点"), ("带斑点的", ""))},
    "checkered": {"en": (("", "checkered"),), "zh": (("", "格子"),)},
    "marble": {"en": (("", "marble"),), "zh": (("", "大理石"),)},
    "glowing": {"en": (("glowing", ""),), "zh": (("发光的", ""),)},
}
# Wood is brown and marble white by nature: the colour is said only when it is another one.
NATURAL_COLOR = {"wooden": "brown", "marble": "white"}

KINDS = {
    "ball": Words(("ball", "sphere"), ("球", "圆球")),
    "cube": Words(("cube", "block"), ("方块", "立方体")),
    "cylinder": Words(("cylinder",), ("圆柱", "圆柱体")),
    "cone": Words(("cone",), ("圆锥", "锥体")),
    "capsule": Words(("capsule",), ("胶囊",)),
    "ring": Words(("ring", "torus"), ("圆环", "环")),
    "egg": Words(("egg",), ("蛋",)),
    "car": Words(("toy car", "little car"), ("玩具车", "小汽车")),
    "snowman": Words(("snowman",), ("雪人",)),
    "mushroom": Words(("mushroom",), ("蘑菇",)),
    "duck": Words(("rubber duck", "toy duck"), ("小黄鸭", "玩具鸭")),
    "bottle": Words(("bottle",), ("瓶子",)),
    "rocket": Words(("toy rocket", "rocket"), ("玩具火箭", "火箭")),
    "pin": Words(("bowling pin",), ("保龄球瓶",)),
    "burger": Words(("burger", "hamburger"), ("汉堡", "汉堡包")),
    "cake": Words(("cake",), ("蛋糕",)),
    "donut": Words(("donut",), ("甜甜圈",)),
    "apple": Words(("apple",), ("苹果",)),
    "watermelon": Words(("watermelon",), ("西瓜",)),
    "box": Words(("box",), ("盒子",)),
    "wall": Words(("wall",), ("墙",)),
    "domino": Words(("domino",), ("多米诺骨牌",)),
    "person": Words(("person",), ("人",)),
    "automobile": Words(("car",), ("汽车", "轿车")),
}
# Things whose colour everybody knows, or that have many: it is not said, and not asked of a recogniser.
UNCOLORED_KINDS = ("snowman", "duck", "pin", "burger", "watermelon")
ROLLING_KINDS = ("ball", "cylinder", "ring")
# Chinese measure words; the rest take 个.
MEASURES = {
    "car": "辆",
    "automobile": "辆",
    "duck": "只",
    "egg": "颗",
    "capsule": "颗",
    "rocket": "枚",
    "mushroom": "朵",
    "wall": "面",
}

FLOORS = {
    "matte": Words(("a plain floor", "a smooth matte floor"), ("素色地面", "哑光地面")),
    "wet_asphalt": Words(("wet asphalt", "a rain-soaked street"), ("湿漉漉的柏油路", "雨后积水的街道")),
    "wet_tiles": Words(("wet stone tiles", "a wet tiled floor"), ("湿漉漉的石砖地", "潮湿的瓷砖地面")),
    "checker": Words(("a checkered floor", "a checkerboard floor"), ("棋盘格地板", "黑白格子地面")),
    "ice": Words(("ice", "a frozen lake"), ("冰面", "结冰的湖面")),
    "grass": Words(("grass", "a green lawn"), ("草地", "绿色草坪")),
    "wood": Words(("a wooden floor", "wooden planks"), ("木地板", "木板地面")),
    "sand": Words(("sand", "a sandy beach"), ("沙地", "沙滩")),
    "marble": Words(("a marble floor", "polished marble"), ("大理石地面", "光滑的大理石地板")),
    "snow": Words(("snow", "snowy ground"), ("雪地", "积雪的地面")),
    "mirror": Words(("a dark mirror-like floor", "a glossy reflective floor"), ("镜面般的地板", "反光的黑色地面")),
    "carpet": Words(("a red carpet", "a soft red carpet"), ("红地毯", "柔软的红地毯")),
}

# {backdrop} and {neon} are filled in by the grammar.
LIGHTS = {
    "day": Words(("on a sunny day", "under a bright blue sky", "in daylight"), ("晴天里", "蓝天下", "阳光下")),
    "sunset": Words(("at sunset", "in warm golden-hour light"), ("日落时分", "夕阳下")),
    "overcast": Words(("under an overcast sky", "in soft cloudy light"), ("阴天里", "柔和的阴天光线下")),
    "studio": Words(
        ("in a studio with {a_backdrop} backdrop", "against {a_backdrop} studio backdrop"),
        ("摄影棚的{backdrop}背景前", "{backdrop}的影棚背景前"),
    ),
    "night": Words(("at night", "on a dark night with city lights behind"), ("夜晚", "夜里，远处是城市灯火")),
    "neon": Words(
        ("at night under {neon} neon lights", "in the glow of {neon} neon lights"),
        ("{neon}霓虹灯的夜里", "夜晚，{neon}霓虹灯下"),
    ),
}

CAMERAS = {
    "static": Words(("The camera stays still.", "Static camera."), ("镜头静止不动。", "固定镜头。")),
    "orbit_left": Words(
        ("The camera orbits to the left.", "The camera circles to the left."), ("镜头向左环绕。", "镜头向左绕行。")
    ),
    "orbit_right": Words(
        ("The camera orbits to the right.", "The camera circles to the right."), ("镜头向右环绕。", "镜头向右绕行。")
    ),
    "push_in": Words(("The camera pushes in.", "The camera moves closer."), ("镜头缓缓推近。", "镜头向前推进。")),
    "pull_out": Words(("The camera pulls back.", "The camera moves away."), ("镜头缓缓拉远。", "镜头向后拉远。")),
    "pan_left": Words(("The camera pans left.", "The camera turns left."), ("镜头向左摇。", "镜头转向左边。")),
    "pan_right": Words(("The camera pans right.", "The camera turns right."), ("镜头向右摇。", "镜头转向右边。")),
    "rise": Words(("The camera rises.", "The camera moves upward."), ("镜头升高。", "镜头向上升起。")),
    "track": Words(("The camera follows the motion.", "Tracking shot."), ("镜头跟随运动。", "跟拍镜头。")),
}

STROKES = {
    "line": Words(("a straight line",), ("一条直线",)),
    "wave": Words(("a wavy line",), ("一条波浪线",)),
    "circle": Words(("a circle",), ("一个圆圈",)),
    "zigzag": Words(("a zigzag",), ("一条锯齿线",)),
    "heart": Words(("a heart",), ("一颗爱心",)),
}

DIRECTIONS = {"left": Words(("to the left",), ("向左",)), "right": Words(("to the right",), ("向右",))}

# Index = number. Chinese says 两 for two of something.
ENGLISH_NUMBERS = """no one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen twenty"""
CHINESE_NUMBERS = """零 一 两 三 四 五 六 七 八 九 十
十一 十二 十三 十四 十五 十六 十七 十八 十九 二十"""
NUMBERS = Words(tuple(ENGLISH_NUMBERS.split()), tuple(CHINESE_NUMBERS.split()))
