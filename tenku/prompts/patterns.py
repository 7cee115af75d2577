"""Prompt patterns: the words and regular expressions by which expand.py finds events, lights, floors, … Tables only."""

COMMON = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
BACKDROPS = ("white", "pink", "blue", "mint", "peach", "lavender", "gray", "cream")
BACKDROP = r"(\w+) (?:studio )?backdrop|(\w{1,3})的?(?:摄?影棚)?的?背景"
NEON = ("pink", "cyan", "orange", "purple", "green", "blue")

FOODS = ("burger", "cake", "donut", "apple", "watermelon")

# What stands for an event, a light, a floor or a camera move in a prompt; the first that is found counts.
EVENTS = {
    "walk": ("walk ", "walks", "walking", "stroll", "行走", "散步", "走路", "走过", "左走", "右走", "在走"),
    "bite": ("bite", "bitten", "eaten", "咬", "吃"),
    "brush": ("brush", "paintbrush", "draws", "画"),
    "trail": ("trail", "leaving", "痕迹", "留下一道"),
    "pour": ("pour", "tray", "倒进", "落进", "木盘"),
    "cover": ("cover", "reveal", "lifts", "comes down over", "盖住", "露出", "抬起"),
    "apples": ("apples", "apple tree", "苹果树", "from a tree", "from the tree", "树上"),
    "domino": ("domino", "多米诺", "骨牌"),
    "pyramid": ("pyramid", "金字塔"),
    "tower": ("tower", "blocks", "塔", "积木"),
    "stairs": ("stair", "steps", "楼梯", "台阶"),
    "ramp": ("ramp", "slope", "斜坡"),
    "pendulum": ("pendulum", "swing", "rope", "string", "摆"),
    "throw": ("throw", "toss", "抛", "扔"),
    "hide": ("behind", "墙后", "后面"),
    "collide": ("hits", "bumps", "knocks", "topples", "collide", "撞", "碰"),
    "drive": ("drives", "drive ", "driving", "驶"),
    "slide": ("slide", "glide", "滑过", "滑动", "滑行"),
    "roll": ("roll", "滚"),
    "drop": ("drop", "fall", "bounc", "落", "掉", "弹"),
}
# Of a light, and no cue for an event: the sun sets (落), and city lights are behind.
OF_LIGHT = "日落|(?<=city lights) behind"
LIGHTS = {
    "neon": ("neon", "霓虹"),
    "night": ("night", "midnight", "city lights", "夜"),
    "sunset": ("sunset", "golden-hour", "evening", "日落", "夕阳", "傍晚"),
    "overcast": ("overcast", "cloud", "阴天", "多云"),
    "studio": ("studio", "backdrop", "影棚"),
    "day": ("sunny", "blue sky", "daylight", "晴", "阳光", "蓝天"),
}
FLOORS = {
    "wet_asphalt": ("asphalt", "street", "柏油", "街"),
    "wet_tiles": ("tile", "瓷砖", "石砖"),
    "checker": ("checkered floor", "checkerboard", "棋盘格", "黑白格"),
    "ice": ("ice", "icy", "frozen", "冰"),
    "grass": ("grass", "lawn", "草"),
    "wood": ("wooden floor", "planks", "木地板", "木板"),
    "sand": ("sand", "beach", "沙"),
    "marble": ("marble floor", "polished marble", "大理石地"),
    "snow": ("snow ", "snowy", "snowing", "snow-covered", "雪地", "积雪", "下雪"),
    "mirror": ("mirror", "reflective", "镜面", "反光"),
    "carpet": ("carpet", "地毯"),
    "matte": ("plain floor", "matte floor", "素色", "哑光地"),
}
CAMERAS = {
    "orbit_left": ("orbits to the left", "circles to the left", "orbits left", "circles left", "向左环绕", "向左绕"),
    "orbit_right": ("orbit", "circles", "环绕", "绕行"),
    "push_in": ("push in", "pushes in", "zoom in", "closer", "推近", "推进"),
    "pull_out": ("pulls back", "pull back", "zoom out", "moves away", "拉远"),
    "pan_left": ("pans left", "pans to the left", "turns left", "向左摇"),
    "pan_right": ("pans", "turns right", "向右摇"),
    "rise": ("rises.", "camera rises", "upward", "升高", "升起。"),
    "track": ("follows", "tracking", "跟随", "跟拍"),
    "static": ("still", "static", "静止", "固定"),
}
STROKES = {
    "wave": ("wav", "波浪"),
    "circle": ("circle", "round", "圆圈", "圈"),
    "zigzag": ("zigzag", "zig-zag", "锯齿"),
    "heart": ("heart", "爱心", "心"),
    "line": ("line", "straight", "直线"),
}
COAT = "coat|jacket|dress|shirt|sweater|外套|夹克|大衣|毛衣|裙子|衣服"
# What drives; toys do not.
TOYS = r"\b(?:toy|little)(?: \w+)? (?:cars?|trucks?)|玩具\w{0,2}车|小汽车|小轿车|[车型]模"
VEHICLES = (
    r"\b(?:cars?(?! sales)|taxis?|trucks?|vans?(?! gogh)|bus(?:es)?(?! stop\b)|vehicles?|automobiles?|suvs?)\b"
    r"|汽车(?!站|模型)|公交车(?!站)|轿车|卡车|出租车|跑车|辆车|(?<=[的红橙黄绿蓝紫粉白黑棕灰金银])车(?![站轮门])"
)
# What people do on their feet, what cars do, and where; not where something comes from.
WALKS = r"\b(?:walk|stroll|run|stand|wait)\w*|[走跑站]|散步"
DRIVES = r"\b(?:driv|brak)\w*|驶|开(?=[来去过着走向])"
WAYS = r"(?<!from )(?<!from the )\b(?:left|right)\b|(?<!从)[左右]"
# Of an event's things, by their role, the word that their colour stands before, and the colour where none does.
COLORED: dict[str, dict[str, tuple[str, str | None]]] = {
    "pour": {"many": ("balls|小球", None)},
    "apples": {"many": (r"apples?\b(?! tree)|苹果(?!树)", "red")},
    "tower": {"block": ("blocks|boxes|积木", None)},
    "pyramid": {"block": ("blocks|boxes|积木", None)},
    "domino": {"block": (r"\bdomino|多米诺|骨牌", None)},
    "walk": {"main": (COAT, None)},
    "drive": {"main": (VEHICLES, None)},
    "street": {"main": (COAT, None), "target": (VEHICLES, None)},
    "stairs": {"prop": ("stairs?|steps|楼梯|台阶", "gray")},
}
# The word that the number of an event's blocks, stairs, bites or many things stands before.
COUNTED = {
    "pour": "balls|小球", "apples": "apples|苹果(?!树)", "tower": "blocks|积木", "domino": "domino|多米诺|骨牌",
    "stairs": "stairs|steps|楼梯|台阶", "bite": "bites|口",
}  # fmt: skip
# Somebody, who walks where nothing else is said to happen. A snowman is nobody, and a pavement (人行道) is none either.
PEOPLE = (
    r"\b(?:person|people|somebody|someone|(?!snow|ger)\w*m[ae]n|boys?|girls?|child|children|kids?|lady|guy|he|she)\b"
    r"(?!['’]s)"
    r"|[个的](?:人|路人)(?!行)|[男女老]人|[男女]孩|孩子|小孩|人们|行人(?!道)|[女男]士|(?<!没)有人"
)
# What comes to rest; not after one of these, and not at one of these.
STOPS = r"\b(?:stops?|stopped|stopping|brakes?|braking|halts?)\b|\bcomes? to (?:rest|a halt)\b|停|最后静止"
GOES_ON = (
    r"\b(?:not|never|without|cannot|\w+n['’]t) (?:\w+ ){0,2}?(?:stop|brak|halt|come)\w*|\bnon-?stop|\bbus stop\b"
    r"|\bstop[- ](?:sign|motion)|停车场|(?:没有?|从?未|不|永不)[会曾再]?停"
)
# What is left on the floor.
TRACES = (r"\bpaint|颜料", r"\btrail|痕迹")
# What falls over, instead of down.
TOPPLES = r"\b(?:toppl|knocks? (?:over|down))|倒下|撞倒|碰翻|倒塌"
# Words that hold a cue and mean something else.
OTHERWISE = "画面|动画|油画|画风|画质|摆着|摆放|摆在|no people|nobody"
# What stands between things of which the same is said.
JOINED = r"\s*,?\s*(?:and\b|和|与|跟|、)|\s*,\s*(?:an?|one|two|three)\b"
MOST_FALLING = 3  # things that the world lets fall at once
MOST_BITES = 3  # that are taken out of one thing
CHINESE_DIGITS = "零一二两三四五六七八九十百"
# Other ways to write a word of the world.
SPELLINGS = {
    r"\bgrey": "gray",
    "colour": "color",
    r"\bgolden\b(?![- ]hour)": "gold",
    r"\bviolet": "purple",
    "橘色": "橙色",
    "玩具汽车|小轿车": "玩具车",
}
# A colour that stands before one of these is not that of the thing after it: "on a red carpet a ball", 红色地毯上的球.
APART = {
    "en": r"\b(?:an?|the|on|with|in|under)\b",
    "zh": f"(?<!正)(?<!色的)[在从]|[毯光灯板面景墙夜]的?[上下里中旁边前后]|{COAT}",
}
OTHER_ADJECTIVES = {
    "en": ("big", "large", "small", "little", "tiny", "heavy", "round", "bright", "ripe", "fresh"),
    "zh": ("的", "大", "小", "圆"),
}
# 红球: a colour in short, right before what has it.
SHORT_COLORS = {
    "红": "red", "橙": "orange", "黄": "yellow", "绿": "green", "蓝": "blue", "紫": "purple", "粉": "pink",
    "白": "white", "黑": "black", "棕": "brown", "灰": "gray", "金": "gold", "银": "silver",
}  # fmt: skip
