"""The paper's tables at this project's scale: ``python -m train.ablation``.

:mod:`.plan` says which runs, :mod:`.runs` makes each once, :mod:`.report` writes the tables.
"""
