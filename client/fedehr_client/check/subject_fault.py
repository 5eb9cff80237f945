"""A fault that some subjects have and none should."""

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.report import Finding, Verdict


def subject_fault(
    name: str, num_subjects: int, rule: CellRule, *, fine: str, wrong: str, fatal: bool = True
) -> Finding:
    """A finding over a count of subjects.

    Args:
        name: the finding's.
        num_subjects: how many have the fault.
        rule: how the count may be told.
        fine: the sentence where nobody has it.
        wrong: the rest of the sentence that begins with their number, and the next step.
        fatal: whether the site cannot take part.
    """
    told = rule.subjects(num_subjects)
    if num_subjects == 0:
        return Finding(name, Verdict.OK, fine, {"num_subjects": told})
    verdict = Verdict.FAILED if fatal else Verdict.WARNING
    text = f"{rule.words(num_subjects)} subjects {wrong}"
    return Finding(name, verdict, text, {"num_subjects": told})
