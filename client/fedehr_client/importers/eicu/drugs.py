"""Drug names that hospitals share: the words before the first strength, form or route.

The rule, in order: upper case and single blanks; a container before a colon or a spaced
dash goes (`5 ML VIAL : DILTIAZEM ...`), as does what follows a colon; brackets go with
their content; leading strengths go; the name ends before the first word that begins with
a digit or is a form, route, container or unit.
"""

import re

_STOP_WORDS = frozenset(
    {
        "BAG", "BOLUS", "CAP", "CAPS", "CAPSULE", "CAPSULES", "CHEW", "CHEWABLE", "CONT", "CREAM",
        "CRTRDG", "DROPS", "EC", "ELIX", "ELIXIR", "EMUL", "ER", "FLEX", "FLUSH", "G", "GM",
        "GRAM", "GTT", "HALF", "IJ", "IM", "IN", "INFUSION", "INH", "INHALATION", "INHALE",
        "INHALER", "INJ", "INJECTION", "IV", "IVF", "IVP", "IVPB", "KIT", "L", "LIQD", "LIQUID",
        "LVP", "MBP", "MCG", "MDV", "MEQ", "MG", "ML", "MT", "NEB", "NEBU", "NEBULIZER", "ODT",
        "OINT", "OINTMENT", "ORAL", "PACK", "PATCH", "PF", "PIGGYBACK", "PIGGY", "PLAS", "PO",
        "POWD", "POWDER", "PR", "PREMIX", "PRN", "PTCH", "RANGE", "RECTAL", "SC", "SL", "SOLN",
        "SOLR", "SOLUTION", "SPRAY", "SQ", "SR", "SUBCUTANEOUS", "SUBLINGUAL", "SUPP",
        "SUPPOSITORY", "SUSP", "SUSPENSION", "SYR", "SYRINGE", "SYRP", "SYRUP", "TAB", "TABLET",
        "TABLETS", "TABS", "TBEC", "TOP", "TOPICAL", "TUBE", "UNIT", "UNITS", "VIAL", "XL", "XR",
    }
)  # fmt: skip
_CONTAINER = re.compile(r"^[\d.,]+\s*[A-Z -]*?(?::|\s-\s)\s*")
_STRENGTH = re.compile(r"^[\d.,/-]+%?")
_BRACKETS = re.compile(r"\([^()]*\)|\*[^*]*\*")
_EDGES = " ,.;:-/%*()"


def normalize_drug(text: str) -> str | None:
    """The shared name of a drug, or null when nothing but strength and form is left."""
    name = _CONTAINER.sub("", " ".join(re.sub("/+", "/", text.upper()).split()))
    name = _BRACKETS.sub(" ", name.split(":")[0])
    words: list[str] = []
    for raw in name.split():
        # A leading strength may be glued to its name, as in 0.9%NACL.
        word = (raw if words else _STRENGTH.sub("", raw)).strip(_EDGES)
        if word and not word[0].isdigit() and word not in _STOP_WORDS:
            words.append(word)
        elif words:
            break
    return " ".join(words) or None


def split_infusion(text: str) -> tuple[str | None, str | None]:
    """Shared name and unit of an infusion, as in `Norepinephrine (mcg/min)`."""
    rest, unit = text.strip(), None
    while match := re.fullmatch(r"(.*?)\s*\(([^()]*)\)", rest):
        rest, unit = match.group(1), unit or match.group(2).strip().upper()
    name = normalize_drug(re.sub(r"^volume( \(ml\))?[ -]+", "", rest, flags=re.IGNORECASE))
    return name, (None if unit in (None, "", "UNKNOWN") else unit)
