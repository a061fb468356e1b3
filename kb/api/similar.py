"""Turn a published post into those that are like it, with the reasons."""

from kb.api import shapes
from kb.api.door import ReadView, as_bytes, stored, there
from kb.api.parameters import Parameters, WholeNumber
from kb.api.schema import describe
from kb.reading.similar import MOST, Similar, similar

LIMIT = 20


class SimilarParameters(Parameters):
    limit = WholeNumber(
        least=1,
        most=LIMIT,
        label=f"How many posts at most; {MOST} if not given.",
    )


class SimilarPosts(ReadView):
    parameters = SimilarParameters

    @describe(
        "similar",
        shapes.SimilarPosts,
        "Published posts like this one, the likest first, with the reasons.",
        more="Few or none, where nothing else is about the same: there is a floor, and no padding.",
        parameters=SimilarParameters,
        is_one=True,
        tag="Posts",
    )
    def get(self, request, slug):
        found = similar(slug, limit=self.values()["limit"] or MOST)
        return stored(request, b'{"results":[' + b",".join(map(_post, there(found))) + b"]}")


def _post(one: Similar) -> bytes:
    reasons = [
        {"kind": reason.kind, "values": list(reason.values), "text": str(reason)} for reason in one.reasons
    ]
    rest = as_bytes({"score": round(one.score, 3), "reasons": reasons})
    return b'{"post":' + one.card.encode() + b"," + rest[1:]
