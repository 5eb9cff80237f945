"""`python -m fedehr_client.child`: started by a node's worker, for one study."""

import sys

from fedehr_client.child.serving import Responder, serve


def _study_responder() -> Responder:
    from fedehr_client.child.study_responder import StudyResponder

    return StudyResponder()


if __name__ == "__main__":
    serve(sys.argv[1:], _study_responder)
