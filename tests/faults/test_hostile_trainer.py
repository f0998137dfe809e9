"""A trainer whose every number is extreme: what it says of itself may be nonsense, but embmond lives,
answers sense, writes files that both readers take, and the trainer beside it loses nothing."""

import math
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import hostile  # noqa: E402
from harness import Closed, proto  # noqa: E402
from trainers import Embmond  # noqa: E402

COUNTS = [0, 1, 2, 3, 7, 8, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**52, 2**53 - 1, 2**53, 2**63 - 1, 2**63,
          2**64 - 2, 2**64 - 1]
SIGNED = [0, 1, -1, 2, -8, 7, 2**31, -2**31, 2**53, 2**63 - 1, -2**63]
REALS = [0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, -5e-324, 1e-38, 3.4e38, -3.5e38, 1e300, 1.7e308, -1.7e308,
         math.inf, -math.inf, math.nan]
MESSAGES = 12_000
STEPS = [0, 1, 2, 3, 4, 5, 2**31, 2**53 - 2, 2**53 - 1, 2**53, 2**63, 2**64 - 1]


class Extreme:
    """Messages of extreme values: some of them nearly right, so that they are taken."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.sequence = self.step = 0
        self.often = 0.0  # how often a field is left as it should be

    def pick(self, values, sane):
        return sane if self.chance.random() < self.often else self.chance.choice(values)

    def place(self):
        """The fields that every post has."""
        chance = self.chance
        if chance.random() < 0.01:
            self.sequence = chance.choice([n for n in COUNTS if n >= self.sequence] or [2**64 - 1])
        self.sequence = min(self.sequence + 1, 2**64 - 1)
        self.step += chance.random() < 0.05
        return dict(sequence=self.sequence, phase=self.pick([1, 2, 3, 0, 4], 1),
                    step=self.pick(STEPS, self.step))

    def summary(self):
        """Often one whose counts add up, whatever its moments are."""
        pick = self.pick
        count = pick(COUNTS, 3)
        made = proto.Summary(
            count=count, parts=pick(COUNTS, 1), zeros=pick(COUNTS, count), nans=pick(COUNTS, 0),
            positive_infinities=pick(COUNTS, 0), negative_infinities=pick(COUNTS, 0),
            min=pick(REALS, 0.0), max=pick(REALS, 0.0), sum=pick(REALS, 0.0),
            absolute_sum=pick(REALS, 0.0), square_sum=pick(REALS, 0.0))
        if self.chance.random() < 0.6:  # all of them in one bucket, with moments that may be
            made.zeros = 0
            made.positive_first = self.chance.choice([0, 1, 1016, 2039, 2040, 2**32 - 1])
            made.positive_counts.append(count)
            made.min, made.max = self.chance.choice([(1e-45, 3.4e38), (1.0, 1.0), (5e-324, 1e300)])
            made.sum = made.absolute_sum = self.chance.choice([1.0, 1.7e308])
            made.square_sum = self.chance.choice([1.0, 1.7e308])
        for key in range(1, 20):
            if self.chance.random() < 0.3:
                made.extra_keys.append(key)
                made.extra_values.append(abs(pick(REALS[:13], 1.0)))
        return made

    def sample(self):
        return proto.Sample(target=self.pick([1, 2, 77, 2**32 - 1], 1),
                            signal=self.pick([1, 2, 3, 4, 0, 9], 1), summary=self.summary(),
                            **self.place())

    def ids(self):
        names = [f.name for f in proto.IdStats.DESCRIPTOR.fields
                 if not f.name.startswith("busiest_") and f.name != "count"]
        stats = proto.IdStats(count=self.pick(COUNTS, 100))
        for name in names:
            real = name in ("worst", "fractional_value", "inexact_value")
            setattr(stats, name, self.pick(REALS if real else COUNTS, 0))
        for n in range(self.chance.randrange(9)):
            stats.busiest_ids.append(self.chance.choice(SIGNED))
            stats.busiest_counts.append(self.pick(COUNTS, 10 - n))
        return proto.Ids(target=1, fed=self.chance.random() < 0.3, dtype=self.pick([0, 1, 8, 99], 8),
                         stats=stats, **self.place())

    def shape(self):
        inputs = self.pick(COUNTS[:8], 2)
        return proto.Shape(target=self.pick([1, 2, 9], 2), role=self.pick([0, 1, 2, 3, 9], 1),
                           index=self.pick(COUNTS[:8], 0), inputs=min(inputs, 2**32 - 1),
                           axis=self.pick(SIGNED, -1), dtype=self.pick([0, 1, 99], 1),
                           dims=[self.pick(SIGNED + [2**62, 2**63 - 1], 8)
                                 for _ in range(self.chance.randrange(10))], **self.place())

    def scalar(self):
        name = self.chance.choice(["loss", "learning_rate", "batch_size", "clipped_fraction", "other"])
        return proto.Scalar(name=name, value=self.chance.choice(REALS), **self.place())

    def end(self):
        return proto.StepEnd(posted=self.pick(COUNTS, 3), dropped=self.pick(COUNTS, 0), **self.place())

    def epoch(self):
        place = self.place()
        return proto.Epoch(sequence=place["sequence"], epoch=self.pick(COUNTS, 1), step=place["step"])

    def heartbeat(self):
        return proto.Heartbeat(produced=self.chance.choice(COUNTS), dropped=self.pick(COUNTS, 0),
                               phase=self.chance.choice([0, 1, 2, 3, 9, 2**32 - 1]),
                               hurry=self.chance.random() < 0.5, unsent=self.chance.choice(COUNTS))

    def layers(self):
        """Of the same paths again, and what is to be flagged of them."""
        pick, self.often = self.pick, 0.99  # one that is wrong ends the connection
        return proto.Layers(
            layers=[proto.Layer(id=1, path="tower/embedding", kind=pick([0, 1, 2, 9], 1), trainable=True,
                                rows=pick(COUNTS, 100), columns=pick(COUNTS, 8), has_padding=True,
                                padding_id=pick(SIGNED, 0), dtype=1, sharded=pick([True], False)),
                    proto.Layer(id=2, path="tower/dense", kind=2, inputs=[1, 2, pick([9, 2**20], 1)],
                                shape=[pick(SIGNED, 8) for _ in range(pick([9], 2))], dtype=1,
                                mask=pick([0, 1, 2, 3, 4, 99], 1))],
            thresholds=[proto.Threshold(detector=detector, layers="*", key=key, value=pick(REALS, 1.0))
                        for detector, key in (("gradient_exploding", "factor"), ("rows_hot", "share"),
                                              ("gradient_vanishing", "ratio"), ("nobody", "x"))])

    def next(self):
        self.often = self.chance.choice([0.5, 0.9, 0.98])
        kinds = [self.sample, self.ids, self.shape, self.scalar, self.end, self.epoch, self.heartbeat,
                 self.layers]
        return self.chance.choices(kinds, [8, 6, 4, 4, 6, 1, 1, 1])[0]()


def attack(daemon, name, seed, messages):
    """One after the other; where the daemon hangs up, from the beginning under another number."""
    extreme, said, runs = Extreme(seed), 0, 0
    while said < messages:
        runs += 1
        extreme.sequence, extreme.step = 0, 0
        with daemon.trainer(f"{name}-{runs}") as trainer:
            trainer.socket.settimeout(20)
            try:
                for _ in range(min(400, messages - said)):
                    trainer.send(extreme.next())
                    said += 1
                trainer.send(proto.Heartbeat(hurry=True), proto.Bye())
                trainer.receive_to_end()
            except (Closed, OSError):
                pass
    return runs


def check_numbers(objects):
    """Counts are no negative numbers, and all of it is JSON that Python takes."""
    for thing in objects:
        for key, value in thing.items():
            if isinstance(value, int) and key not in ("padding_id",):
                assert value >= 0, thing


def test_extreme_values_of_a_trainer():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    with Embmond() as daemon:
        with hostile.beside(daemon):
            runs = attack(daemon, "extreme", seed, MESSAGES)
            check_numbers(daemon.ask("runs"))
            check_numbers(daemon.ask("alerts"))
            for run in daemon.ask("runs"):
                daemon.ask("layers", run["name"])
            status = daemon.status()
            print(runs, {key: status[key] for key in ("acked", "rejected", "invalid_frames")})
            assert status["acked"] > MESSAGES / 20 and status["rejected"] > MESSAGES / 20
        daemon.recorded("beside")  # all runs, by both readers


def test_the_last_step_there_is():
    """Nothing can come behind it: that is this run's trouble, and no other's."""
    with Embmond() as daemon, hostile.beside(daemon):
        with daemon.trainer("last") as trainer:
            trainer.step(2**53 - 1)
            assert trainer.settle() == []
            trainer.step(0)
            assert {m.reason for m in trainer.settle()} == {2}
            trainer.bye()
        with daemon.trainer("last", resume=True) as trainer:
            assert trainer.welcome.next_step == 2**53
            trainer.step(2**53)
            assert {m.reason for m in trainer.settle()} == {1}


def test_no_run_puts_its_files_among_those_of_another():
    """<run>/embmon/state.new as a folder: the run's next checkpoint would have had no place."""
    with Embmond() as daemon, daemon.trainer("mine") as trainer:
        for name in (b"mine/embmon", b"mine/embmon/state.new", b"mine/embmon/alerts.jsonl"):
            for data in hostile.hello(name=name), hostile.hello(name=b"good", given=name):
                with daemon.peer() as other:
                    hostile.must_refuse(other, data)
        trainer.step(0)
        assert trainer.settle() == []
        trainer.bye()


def test_a_layer_called_all_is_not_the_model():
    with Embmond() as daemon:
        with daemon.trainer("all") as trainer:
            trainer.send(proto.Layers(layers=[proto.Layer(id=7, path="all", kind=2, trainable=True)]))
            for step in range(4):
                trainer.send(trainer.sample(step, [3.0, 4.0], target=7),
                             trainer.sample(step, [12.0], target=trainer.DENSE),
                             trainer.step_end(step, 2))
            assert trainer.settle() == []
            trainer.bye()
        run = daemon.recorded("all")
    assert [v for _, v in run.scalars["gradient_norm/all"]] == [13.0] * 4
    assert [v for _, v in run.scalars["gradient_norm//all"]] == [5.0] * 4
