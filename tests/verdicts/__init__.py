"""make verdicts: how often embmond is right.

Trains models that are well and models with the mistakes people make, beside one embmond, and
compares what it said with what each trainer wrote down itself. Nothing is judged by embmond's words.

    catalog.py   which models, which faults on which of them; the two halves, the tenth
    data.py      what they learn from
    models.py    the models, with places where a fault can be put in
    faults.py    the faults: what is right to say of each, and how each is put in
    trainer.py   one training with Keras, with the trainer's own record
    hand.py      the same by hand, with numpy
    record.py    that record
    oracle.py    since when a training is sick, by its record alone
    judge.py     what was said of one training: right, late, missed, or a false alarm
    table.py     all of it as a table
    worker.py    a process that trains what it is told to
    __main__.py  the command
"""
