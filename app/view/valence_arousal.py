"""Where emotions lie on the plane of valence and arousal, and where a prediction's probabilities point.

Nothing here is measured on the participant: the point is the mean of the emotions' places, weighted by their
probabilities. The places are the mean ratings of pleasure and arousal, each -1..1, of Russell & Mehrabian
(1977), Evidence for a three-factor theory of emotions, Journal of Research in Personality 11, 273-294:
angry, bored, disgusted, fearful, happy, sad, surprised. Two are not from there: neutral is the origin by
definition; calm has the direction of Russell (1980), A circumplex model of affect, Journal of Personality
and Social Psychology 39, 1161-1178 (316 degrees) at 0.75 of the circle's radius, about as far out as the
others. All are means over raters, languages and situations: read the point as a direction, not a figure.
"""

import math
from collections.abc import Iterable, Mapping

from acquisition.text import parse_toml
from assets import EMOTIONS

_EMOTIONS = parse_toml(EMOTIONS.read_bytes())

#: With less than this share of the probability on emotions that have a place, there is no point.
MIN_PLACED = 0.5


#: Valence, -1 unpleasant .. 1 pleasant, and arousal, -1 calm .. 1 excited.
Place = tuple[float, float]


def place_of(label: str) -> Place | None:
    word = label.strip().lower()
    place = _EMOTIONS["places"].get(_EMOTIONS["synonyms"].get(word, word))
    return None if place is None else tuple(place)


def unplaced(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(label for label in labels if place_of(label) is None)


def point(probs: Mapping[str, float]) -> Place | None:
    """Return the probability-weighted mean of the places, over the emotions that have one.

    None where these hold less than half of the probability, or a probability is not a number.
    """
    at = [(probability, place) for label, probability in probs.items() if (place := place_of(label))]
    placed = sum(probability for probability, _ in at)
    if not placed >= MIN_PLACED or math.isnan(sum(probs.values())):
        return None
    valence, arousal = (sum(probability * place[axis] for probability, place in at) for axis in (0, 1))
    return valence / placed, arousal / placed
