"""Which models are trained, and which mistakes are made in which of them."""
import dataclasses
import zlib


@dataclasses.dataclass(frozen=True)
class Model:
    """As it is trained when nothing is wrong. learns: its last losses are below this share of its
    first ones. options: of the family, the schedule, the clipping, and how often it is sampled."""

    family: str
    variant: str
    optimizer: str
    rate: float
    batch: int
    steps: int
    faults: tuple = ()
    options: dict = dataclasses.field(default_factory=dict, hash=False)
    learns: float = 0.95

    @property
    def name(self):
        return f"{self.family}-{self.variant}"

    @property
    def half(self):
        """"tuning": thresholds may be fitted to it; "checking": they are not. By the model's name and
        not by the seed, so that no model is in both."""
        return ("tuning", "checking")[zlib.crc32(self.name.encode()) >> 8 & 1]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One training. fault: "" for the healthy one."""

    model: Model
    seed: int
    fault: str = ""

    @property
    def name(self):
        return f"{self.model.name}-{self.seed}" + (f"+{self.fault}" if self.fault else "")

    @property
    def twin(self):
        """The same training without the fault."""
        return dataclasses.replace(self, fault="")

    @property
    def place(self):
        """Its place in the order in which the tenth is taken."""
        return zlib.crc32(self.name.encode())


def words(text):
    return tuple(text.split())


TOO_HIGH = words("sgd_100 adam_1")
TRUNK = words("sigmoid6 sigmoid10 tanh_small zero_layers collapsed")
UNITS = words("dead_relu saturated_tanh saturated_sigmoid")
FEW_IDS = words("id_past id_minus_1 id_float id_normalised id_999")
TEXT = words("padding_before padding_before_inference padding_missing padding_much")

MODELS = (
    Model("recommender", "adam-256", "adam", 0.002, 256, 600,
          TOO_HIGH + words("sigmoid6 log_0 nan_label bad_batch id_past id_minus_1 id_999 left_out decay table_first")),
    Model("recommender", "sgd-32", "sgd", 0.1, 32, 1500,
          words("sgd_100 growing label_unit sqrt_0 id_normalised detached row_hot")),
    Model("recommender", "adam-4096", "adam", 0.005, 4096, 120, words("adam_1 sigmoid10 id_from_1")),
    Model("recommender", "float-input", "adam", 0.002, 512, 200, words("sign id_float dead_relu"),
          {"input": "float32"}),
    Model("recommender", "clipped-restarts", "momentum", 0.05, 128, 700,
          words("tanh_small sgd_100 saturated_tanh"),
          {"clip": {"global_clipnorm": 1.0}, "schedule": "restarts"}),
    Model("recommender", "every-4", "adam", 0.002, 256, 1200, words("nan_label"), {"every": 4}),
    Model("factors", "sgd-64", "sgd", 1.0, 64, 1500, words("zero_tables sgd_100 growing bad_batch")),
    Model("factors", "adam-1024", "adam", 0.01, 1024, 200, words("adam_1 zero_tables id_past left_out bf16_step row_hot")),
    Model("factors", "adagrad-256", "adagrad", 2.0, 256, 600, words("rate_300 nan_label scaled_down"),
          {"bias": False, "centred": False}),
    Model("towers", "norm-512", "adam", 0.002, 512, 200,
          words("sgd_100 sigmoid6 bad_batch left_out id_minus_1")),
    Model("towers", "deep-256", "adam", 0.001, 256, 300,
          words("adam_1 dead_relu saturated_sigmoid masked_loss"), {"norm": False, "depth": 6}),
    Model("towers", "warmup-1024", "adamw", 0.004, 1024, 200, words("sigmoid10 sign"),
          {"schedule": "warmup", "depth": 3}),
    Model("bag", "adam-64", "adam", 0.002, 64, 700, TRUNK + TEXT + words(
        "adam_1 log_0 empty_sequence pool_0 tokenizer_broke scaled_down length_drift"),
          {"length": 48, "any_length": True}),
    Model("bag", "momentum-16", "momentum", 0.03, 16, 2500,
          words("sgd_100 growing dead_relu tokenizer_broke id_past"), {"length": 48}, learns=0.97),
    Model("bag", "adagrad-256", "adagrad", 1.0, 256, 500,
          words("sigmoid6 id_float saturated_tanh rate_300 left_out bf16_step decay table_first"), {"length": 48}),
    Model("bag", "frozen", "adam", 0.01, 64, 400, words("adam_1 saturated_sigmoid"),
          {"frozen": True, "width": 64}),
    Model("textcnn", "adam-128", "adam", 0.001, 128, 300,
          TOO_HIGH + words("sigmoid6 zero_layers padding_row id_minus_1 tokenizer_broke")),
    Model("textcnn", "rmsprop-64", "rmsprop", 0.002, 64, 600, words("sigmoid10 dead_relu id_999 detached"),
          {"schedule": "exponential"}),
    Model("recurrent", "gru-64", "adam", 0.005, 64, 400, words("sigmoid6 sgd_100 padding_before mask_lost "
          "padding_missing id_past"), {"any_length": True}),
    Model("recurrent", "lstm-128", "adam", 0.005, 128, 200, words("sgd_100 tanh_small padding_much "
          "padding_before_inference left_out collapsed"), {"cell": "lstm"}),
    Model("recurrent", "both-32", "momentum", 0.3, 32, 900, words("growing mask_lost saturated_tanh"),
          {"both": True, "clip": {"clipnorm": 1.0}}),
    Model("transformer", "adam-64", "adam", 0.001, 64, 400, words("sgd_100 sigmoid6 adam_1 "
          "padding_before id_past empty_sequence masked_loss")),
    Model("transformer", "warmup-128", "adamw", 0.002, 128, 200, words("sigmoid10 padding_much "
          "collapsed dead_relu"), {"schedule": "warmup"}),
    Model("categories", "adam-256", "adam", 0.002, 256, 170, TOO_HIGH + words("nan_number bad_inputs "
          "infinite_number exp_of_much id_minus_1 sigmoid6 left_out id_float")),
    Model("categories", "sgd-32", "sgd", 0.05, 32, 1400, words("sgd_100 growing nan_number dead_relu "
          "id_past saturated_sigmoid bad_inputs")),
    Model("categories", "cosine-2048", "rmsprop", 0.003, 2048, 120, words("log_0 zero_layers adam_1 rows_unused"),
          {"schedule": "cosine"}),
    Model("clicks", "adagrad-512", "adagrad", 0.1, 512, 150, words("sgd_100 sigmoid6 id_past nan_label")),
    Model("clicks", "sgd-128", "sgd", 0.3, 128, 300, words("growing scaled_down id_normalised detached")),
    Model("clicks", "small-1024", "adam", 0.005, 1024, 150, words("tanh_small adam_1 id_float"),
          {"tables": (2, 5, 100, 3000)}),
    Model("clicks", "rare-64", "adam", 0.002, 64, 1000, words("sigmoid6 nan_label"),
          {"rare": 5.0, "tables": (10, 1000, 20_000)}),
    Model("clicks", "rare-512", "adagrad", 0.1, 512, 400, words("sgd_100 id_past"),
          {"rare": 6.0, "tables": (10, 1000, 20_000)}),
    Model("linear", "adagrad-256", "adagrad", 0.3, 256, 250, words("nan_label id_minus_1")),
    Model("linear", "sgd-1024", "sgd", 5.0, 1024, 150, words("growing id_past")),
    Model("linear", "hashed", "sgd", 20.0, 512, 60, words("id_large_float"),
          {"tables": (100, 1000, 17_000_000)}, learns=0.99),
    Model("skipgram", "sgd-512", "sgd", 20.0, 512, 400, words("zero_tables rate_300 nan_label growing")),
    Model("skipgram", "adam-4096", "adam", 0.01, 4096, 100, words("zero_tables adam_1 id_past left_out")),
    Model("skipgram", "adagrad-128", "adagrad", 0.3, 128, 1500, words("scaled_down id_999"),
          {"start": 0.3, "schedule": "staircase"}, learns=0.97),
    Model("preferences", "adam-128", "adam", 0.02, 128, 500, words("zero_tables id_past growing"),
          learns=0.1),
    Model("preferences", "sgd-64", "sgd", 3.0, 64, 850, words("sgd_100 id_minus_1"), learns=0.1),
    Model("by_hand", "sgd-sparse", "sgd", 10.0, 256, 1000, words("zero_tables rate_300 nan_label left_out "
          "sign")),
    Model("by_hand", "sgd-dense", "sgd", 5.0, 128, 1000, words("zero_tables growing bad_batch "
          "scaled_down"), {"dense": True}),
    Model("by_hand", "adagrad-sparse", "adagrad", 0.05, 512, 700, words("rate_300 nan_label scaled_down "
          "label_unit")),
    Model("by_hand", "adagrad-dense", "adagrad", 0.05, 64, 1500, words("bad_batch left_out"),
          {"dense": True}),
    Model("by_hand", "half", "sgd", 5.0, 256, 700, words("underflow stalled all_rows_decay"),
          {"half": True}),
    Model("by_hand", "large", "sgd", 20.0, 2048, 600, words("no_negatives all_rows_decay stalled")),
    Model("by_hand", "hinge", "sgd", 10.0, 256, 1000, words("zero_tables growing"), {"loss": "hinge"}),
    Model("by_hand", "hinge-16", "adagrad", 0.1, 16, 2000, words("nan_label rate_300"),
          {"loss": "hinge", "dense": True}),
    Model("tied", "adam-64", "adam", 0.005, 64, 250, words("adam_1 sgd_100")),
    Model("prices", "adam-256", "adam", 0.02, 256, 250, words("bad_batch bad_inputs nan_number sgd_100 "
          "sqrt_0 saturated_sigmoid")),
    Model("prices", "clipped-64", "momentum", 0.01, 64, 500, words("label_unit infinite_number tanh_small"),
          {"clip": {"clipvalue": 1.0}}),
    Model("gaussian", "adam-64", "adam", 0.002, 64, 600, words("adam_1 nan_number sigmoid6")),
    Model("gaussian", "momentum-256", "momentum", 0.002, 256, 400, words("bad_batch sgd_100")),
    Model("buckets", "adam-32", "adam", 0.002, 32, 600, words("sgd_100 padding_before")),
    Model("buckets", "gru-64", "adam", 0.004, 64, 300, words("sigmoid6"), {"gru": True}),
    Model("plateau", "adam-64", "adam", 0.0005, 64, 400, words("adam_1 bad_batch")),
    Model("bag", "unfrozen", "adam", 0.003, 64, 600, (), {"unfreeze": True}),
    Model("recommender", "unfrozen", "momentum", 0.05, 256, 800, (), {"unfreeze": True}),
    Model("subclassed", "adam-128", "adam", 0.003, 128, 200, words("concat_width shape_validation adam_1 "
          "id_minus_1")),
    Model("subclassed", "adamw-512", "adamw", 0.003, 512, 200, words("shape_validation sgd_100")),
)

SEEDS = (1, 2)


def scenarios():
    """All, each healthy one before those it is the twin of. Faults are made with one seed or the
    other in turn."""
    found = []
    for model in MODELS:
        found += [Scenario(model, seed) for seed in SEEDS]
        found += [Scenario(model, SEEDS[n % 2], fault) for n, fault in enumerate(model.faults)]
    return found


def tenth(all_of_them, detectors):
    """A fixed tenth of the healthy ones and of the faulty ones: in the order of their hashes, and
    of the faulty ones first those of a detector that is not there yet. detectors: {fault: the
    detector it is there for}."""
    ordered = sorted(all_of_them, key=lambda s: s.place)
    healthy = [s for s in ordered if not s.fault]
    faulty = [s for s in ordered if s.fault]
    chosen = []
    for s in faulty:
        if detectors[s.fault] not in {detectors[c.fault] for c in chosen}:
            chosen.append(s)
    chosen += [s for s in faulty if s not in chosen]
    chosen = chosen[:-(-len(faulty) // 10)]
    kept = healthy[:-(-len(healthy) // 10)]
    return list(dict.fromkeys(kept + [s.twin for s in chosen])), chosen
