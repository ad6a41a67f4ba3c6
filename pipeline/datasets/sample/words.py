"""What things of the store are called and made of, in each of its languages."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Category:
    """What the things of one category are called, and what they are for."""

    names: tuple[str, str]  # In each of LANGUAGES, as all the pairs below.
    synonyms: tuple[str, str]  # What some shoppers call it, and no item's text does.
    nouns: tuple[tuple[str, ...], tuple[str, ...]]
    uses: tuple[tuple[str, ...], tuple[str, ...]]


LANGUAGES = ("en", "zh")
CATEGORIES = (
    Category(
        ("Lighting", "灯具"),
        ("illumination", "照明"),
        (("lamp", "lantern", "chandelier", "desk light"), ("台灯", "灯笼", "吊灯", "阅读灯")),
        (("reading in bed", "long winter evenings"), ("睡前阅读", "漫长的冬夜")),
    ),
    Category(
        ("Furniture", "家具"),
        ("furnishings", "陈设"),
        (("chair", "bookshelf", "table", "stool"), ("椅子", "书架", "桌子", "凳子")),
        (("small flats", "the family dinner"), ("小户型", "全家聚餐")),
    ),
    Category(
        ("Kitchen", "厨房"),
        ("cookery", "烹饪"),
        (("teapot", "pan", "knife", "bowl"), ("茶壶", "平底锅", "菜刀", "汤碗")),
        (("slow cooking", "tea with friends"), ("慢炖", "与朋友喝茶")),
    ),
    Category(
        ("Camping", "露营"),
        ("outdoors", "郊游"),
        (("tent", "sleeping bag", "camp stove", "backpack"), ("帐篷", "睡袋", "野营炉", "背包")),
        (("a night in the mountains", "rainy trails"), ("山中过夜", "雨中徒步")),
    ),
    Category(
        ("Clothing", "服装"),
        ("apparel", "穿戴"),
        (("jacket", "scarf", "dress", "shirt"), ("夹克", "围巾", "连衣裙", "衬衫")),
        (("cold mornings", "a walk in town"), ("寒冷的早晨", "城市漫步")),
    ),
    Category(
        ("Garden", "园艺"),
        ("horticulture", "种植"),
        (("planter", "watering can", "bench", "bird house"), ("花盆", "洒水壶", "长椅", "鸟屋")),
        (("herbs on the balcony", "the first spring day"), ("阳台香草", "春天的第一天")),
    ),
    Category(
        ("Games", "游戏"),
        ("pastimes", "消遣"),
        (("chess set", "puzzle", "card game", "dice tower"), ("棋盘", "拼图", "纸牌", "骰塔")),
        (("two patient players", "noisy parties"), ("两位耐心的玩家", "热闹的聚会")),
    ),
    Category(
        ("Music", "音乐"),
        ("instruments", "乐器"),
        (("guitar", "flute", "drum", "music box"), ("吉他", "长笛", "小鼓", "八音盒")),
        (("first lessons", "playing on the road"), ("入门课程", "旅途演奏")),
    ),
)
STYLES = (
    (("rustic", "weathered"), ("乡村风", "做旧")),
    (("minimalist", "plain"), ("极简", "素净")),
    (("vintage", "retro"), ("复古", "怀旧")),
    (("playful", "colourful"), ("俏皮", "多彩")),
    (("elegant", "refined"), ("优雅", "精致")),
    (("industrial", "rugged"), ("工业风", "硬朗")),
)
STYLE_SYNONYMS = (
    ("farmhouse", "田园"),
    ("unadorned", "朴实"),
    ("antique", "老式"),
    ("whimsical", "童趣"),
    ("sophisticated", "华贵"),
    ("factory", "机械"),
)
MATERIALS = (
    ("oak", "橡木"),
    ("steel", "钢"),
    ("linen", "亚麻"),
    ("ceramic", "陶瓷"),
    ("bamboo", "竹"),
    ("leather", "皮革"),
    ("glass", "玻璃"),
)
BRANDS = (
    "Nordlys",
    "Aokawa",
    "Meridian",
    "Taohua",
    "Brightwell",
    "Kumo",
    "Santal",
    "Ferrum",
    "Lumen",
    "Yunduan",
)
MEMBERSHIPS = ("none", "silver", "gold")
EVENT_TYPES = ("view", "click", "purchase")
