"""Content words: stems of the words that say what a text is about."""

from functools import lru_cache
from typing import Any

import regex

from unicorn_hf.core.languages import ENGLISH, base, english_name, has_content_words, word_lists
from unicorn_hf.core.words import words

_KATAKANA = regex.compile(r"[\p{Katakana}ー]{2,}")
_HIRAGANA = regex.compile(r"[\p{Hiragana}ー]")
_FUNCTION_WORDS = frozenset(
    """
    a an the this that these those there here it its he him his she her hers they them their theirs we us our ours i me
    my mine you your yours who whom whose which what where when why how whether and or nor but if then than so as of in
    on at by to from for with without into onto out off up down over under above below between among through across
    along around about against behind before after beside besides near next toward towards upon within while during
    until since because though although is are was were be been being am do does did doing done has have had having can
    could will would shall should may might must not no yes none any some all both each every either neither one ones
    other another such same own too very just only also even still again once more most less least much many few
    several lot lots like let get gets got someone something anyone anything everyone everything nobody nothing
    itself himself herself themselves isn't aren't wasn't weren't doesn't don't didn't can't couldn't won't wouldn't
    it's that's there's what's who's he's she's
    """.split()
)
_ELSEWHERE_TOO = frozenset(
    """
    a all am an another are as at be being can do for got had has he her here him his i in is it just let like lot lots
    me mine more most must no none of off on once one or others our over same so some such than then to too under until
    up us was we were who will yes
    """.split()
)
"""Function words that are also words of other languages in Latin script, names or numbers."""
_ENGLISH_ALONE = _FUNCTION_WORDS - _ELSEWHERE_TOO
_MANY, _SOME = 1 / 4, 1 / 10
# Irregular forms that the stemmer does not know, of things and poses that are common in pictures.
_IRREGULAR = {
    "men": "man", "women": "woman", "people": "person", "children": "child", "feet": "foot", "teeth": "tooth",
    "geese": "goose", "mice": "mouse", "wolves": "wolf", "leaves": "leaf", "knives": "knife", "shelves": "shelf",
    "loaves": "loaf", "calves": "calf", "ran": "run", "sat": "sit", "stood": "stand", "held": "hold", "wore": "wear",
    "worn": "wear", "rode": "ride", "ridden": "ride", "ate": "eat", "eaten": "eat", "drove": "drive", "flew": "fly",
}  # fmt: skip
_ANYWHERE = """
    image picture photo scene view setting place location area surroundings environment background foreground
    weather light lighting sky mood atmosphere time day night season color colour shape size material texture
    pattern style position side left right top bottom middle center centre front back corner edge part number
    amount kind type sort thing object item detail feature subject person people animal creature building
    structure vehicle furniture clothing clothes plant food main visible appear seen see look show tell describe best
    cloudy sunny rainy overcast clear dull bright dark warm cold dry wet
    zero one two three four five six seven eight nine ten eleven twelve dozen pair single several
    0 1 2 3 4 5 6 7 8 9 10 11 12
    """


@lru_cache(maxsize=1024)
def content_words(text: str, language: str = ENGLISH) -> tuple[str, ...]:
    """Stems of the words of `text` without function words, in order.

    English stems come from the Porter2 algorithm (snowball): `carries` and `carrying` are both `carri`. Other languages
    use their snowball algorithm, if there is one; Korean words lose their particles. In Chinese and Japanese,
    characters replace words: in Japanese, kanji and katakana words. Empty if `has_content_words` is false.
    """
    if base(language) == ENGLISH:
        return tuple(filter(None, map(_content_stem, words(text.replace("’", "'")))))
    if not has_content_words(language):
        return ()
    found = [*words(_KATAKANA.sub(" ", text)), *_KATAKANA.findall(text)]
    return tuple(filter(None, (_stem(word, base(language)) for word in found)))


def telling_words(text: str, language: str = ENGLISH) -> list[str]:
    """Content words without those that fit any scene: `weather`, `colour`, `left`, `two`."""
    return [word for word in content_words(text, language) if word not in _suit_any_scene(base(language))]


def is_plainly_english(*texts: str) -> bool:
    """Whether texts together have the function words of English prose; fast, without a model.

    A quarter of their words must be function words, and a tenth must be unique to English: Portuguese has `a`, `do`,
    `no`.
    """
    found = [word for text in texts for word in words(text)]
    num_alone, num_all = (sum(map(known.__contains__, found)) for known in (_ENGLISH_ALONE, _FUNCTION_WORDS))
    return num_alone > _SOME * len(found) and num_all > _MANY * len(found)


@lru_cache(maxsize=16)
def _suit_any_scene(language: str) -> frozenset[str]:
    lists = word_lists(language)
    return frozenset(content_words(_ANYWHERE if language == ENGLISH else lists.anywhere if lists else "", language))


@lru_cache(maxsize=2**17)
def _stem(word: str, language: str) -> str | None:
    lists = word_lists(language)
    if _HIRAGANA.fullmatch(word) or word in _function_words(language):
        return None
    particles = lists.particles if lists else ()
    word = word.removesuffix(next((end for end in particles if word.endswith(end) and word != end), ""))
    if word in _function_words(language):
        return None
    stemmer = _stemmer_of(language)
    return stemmer.stemWord(word) if stemmer else word


@lru_cache(maxsize=16)
def _function_words(language: str) -> frozenset[str]:
    lists = word_lists(language)
    return frozenset(lists.function_words.split() if lists else ())


@lru_cache(maxsize=16)
def _stemmer_of(language: str) -> Any:
    import snowballstemmer

    name = english_name(language).lower()
    return snowballstemmer.stemmer(name) if name in snowballstemmer.algorithms() else None


@lru_cache(maxsize=2**17)
def _content_stem(word: str) -> str | None:
    if word in _FUNCTION_WORDS or (word := word.removesuffix("'s")) in _FUNCTION_WORDS:
        return None
    stem: str = _stemmer_of(ENGLISH).stemWord(_IRREGULAR.get(word, word))
    return stem
