"""What every call of a loss passes through, one file a step, in the order in which data meets them.

``input, target -> legal? (domain) -> units -> weight -> statistic, formula (losses/) -> partial -> value``;
``loss`` runs the steps around one formula, ``labelled`` adds what a target that names a class brings along.
"""
