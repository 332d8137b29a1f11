"""The conformance suite of losses: what scikit-learn's ``check_estimator`` is for estimators.

    from lossmith.audit import audit, check_loss

    def test_my_loss():
        check_loss(MyLoss)                           # raises AssertionError, naming every check that fails
        check_loss(MyLoss(gamma=2), kind="softmax")  # an instance, its kind named
        check_loss(lambda input, target: ...)        # a function
        check_loss(MyLoss, known=["an_empty_batch"]) # a failure that is meant

    found = audit("package.module:MyLoss(gamma=2)")  # or "path/to/file.py:MyLoss"
    found.failures                                   # what fails: name, expected, seen, why, link
    found.counts(), found.document()                 # numbers of passes ...; everything for JSON

Parts: `target.py` what is audited, `kinds.py` layouts of data, `find.py` which layout a loss has, `case.py` what a
check sees, `check.py` what a check is, `checks/` the checks by theme, `run.py` one audit, `report.py` table and page.
The suite knows no loss: whatever can be called with tensors is asked the same questions.
"""

from lossmith.audit.check import CHECKS, Check, Outcome
from lossmith.audit.kinds import KINDS, Kind
from lossmith.audit.run import Audit, audit, check_loss
from lossmith.audit.target import Subject, subject_of

__all__ = ["CHECKS", "KINDS", "Audit", "Check", "Kind", "Outcome", "Subject", "audit", "check_loss", "subject_of"]
