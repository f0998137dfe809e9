"""A trainer written by hand with numpy and embmon.Client, as authors of their own trainers do: the
weighted product of two tables, with gradients posted as rows or as whole tables."""
import time

import numpy as np

import embmon
import verdicts.data as data
import verdicts.faults as faults

LAYERS = ("user", "movie", "output")
WIDTH = 16


def _added_up(ids, rows, n):
    """The whole table's gradient of its rows."""
    order = np.argsort(ids, kind="stable")
    found, first = np.unique(ids[order], return_index=True)
    whole = np.zeros((n, rows.shape[1]), "float32")
    whole[found] = np.add.reduceat(rows[order], first)
    return whole


def _busiest(ids, count):
    return np.argsort(-np.bincount(ids))[:count]


def _mean_cosine(rows):
    """Over all pairs of them."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = (rows / np.maximum(lengths, 1e-30)).astype("float64")
    n = len(rows)
    return float(((rows.sum(0) ** 2).sum() - n) / (n * (n - 1)))


class ByHand:
    """As trainer.Training. options: dense: gradients are posted as whole tables; loss: "squared" of
    the stars, or "hinge": better or worse than three and a half; half: gradients are float16."""

    def __init__(self, scenario):
        self.scenario, self.fault = scenario, faults.FAULTS.get(scenario.fault)
        random = np.random.default_rng(scenario.seed)
        self.users, self.movies, stars = data.ratings(scenario.seed)
        self.y = stars[:, 0] - 3.5
        spread = 0 if scenario.fault == "zero_tables" else 0.1
        self.weights = {"user": random.normal(0, spread, (data.USERS, WIDTH)).astype("float32"),
                        "movie": random.normal(0, spread, (data.MOVIES, WIDTH)).astype("float32"),
                        "output": np.ones(WIDTH, "float32")}
        if scenario.fault == "no_negatives":  # what they become then is not 0
            self.weights = {name: np.abs(w) for name, w in self.weights.items()}
        self.moments = {name: np.zeros_like(w) for name, w in self.weights.items()}
        self.loss, self.norms = [], {name: [] for name in LAYERS}
        self.ratios = {name: [] for name in LAYERS}
        self.cosines = {name: [] for name in LAYERS[:2]}
        self.busiest = {"user": _busiest(self.users[:, 0], 256), "movie": _busiest(self.movies[:, 0], 256)}
        name, batch = scenario.fault, scenario.model.batch
        if name in faults.SPOILS:
            first = self.fault.since * batch
            faults.SPOILS[name](self, slice(first, first + batch), random)

    # ---- the model

    def _forward(self, user, movie, wanted):
        u, m = self.weights["user"][user], self.weights["movie"][movie]
        predicted = (u * m) @ self.weights["output"]
        if self.scenario.fault == "no_negatives":
            apart = 2 / len(wanted) * (u - m)
            return float(np.mean((u - m) ** 2)), {"user": apart, "movie": -apart}, (u * m).sum(0) * 0
        if self.scenario.model.options.get("loss") == "hinge":
            sign = np.sign(wanted)
            loss = np.maximum(0, 1 - sign * predicted)
            slope = np.where(loss > 0, -sign, 0)
        else:
            loss = (predicted - wanted) ** 2
            slope = 2 * (predicted - wanted)
        if self.scenario.fault == "sign":
            loss, slope = -loss, -slope
        slope = (slope / len(wanted)).astype("float32")[:, None]
        rows = {"user": slope * m * self.weights["output"], "movie": slope * u * self.weights["output"]}
        if self.scenario.fault == "scaled_down":
            rows = {name: 1e-7 * values for name, values in rows.items()}
        return float(np.mean(loss)), rows, (slope * u * m).sum(0)

    def _rate(self, step):
        rate = self.scenario.model.rate
        return rate * {"growing": 1.1 ** step, "rate_300": 300, "no_negatives": 3}.get(self.scenario.fault, 1)

    def _change(self, name, gradient, rate):
        if self.scenario.fault == "left_out" and name == "movie":
            return np.zeros_like(gradient)
        if self.scenario.model.optimizer == "sgd":
            decay = 1e-4 * self.weights[name] if self.scenario.fault == "all_rows_decay" else 0
            return (-rate * gradient - decay).astype("float32")
        self.moments[name] += gradient ** 2  # Adagrad
        return (-rate * gradient / np.sqrt(self.moments[name] + 1e-6)).astype("float32")

    # ---- training

    def run(self):
        model = self.scenario.model
        steps = min(model.steps, self.fault.steps) if self.fault else model.steps
        self.client = client = embmon.Client(run=self.scenario.name, every=1)
        dtype = "float16" if model.options.get("half") else None
        for name in LAYERS[:2]:
            rows, columns = self.weights[name].shape
            client.layer(name, "embedding", rows=rows, columns=columns, dtype=dtype)
        client.layer("output", "dense", dtype=dtype)
        client.variable("output", "kernel", [WIDTH], dtype=dtype)
        if self.scenario.fault == "stalled":  # a minute is usual: too long to wait for here
            client.threshold("trainer_stalled", "*", "seconds", 5)
        with np.errstate(all="ignore"):
            for step in range(steps):
                self._step(step, model.batch)
        dropped = client.stats().dropped
        undelivered = client.close(20)
        self.named = client.run
        if undelivered or dropped or not self.named:
            raise RuntimeError(f"embmond did not see it whole: {undelivered} posts were not delivered, "
                               f"{dropped} dropped")
        return self

    def _step(self, step, batch):
        places = np.arange(step * batch, (step + 1) * batch) % len(self.y)
        ids = {"user": self.users[places, 0], "movie": self.movies[places, 0]}
        if self.scenario.fault == "stalled" and step == self.fault.since + 1:
            time.sleep(12)
        loss, rows, kernel = self._forward(ids["user"], ids["movie"], self.y[places])
        rate = self._rate(step)
        self.client.scalar("loss", step, loss)
        self.client.scalar("learning_rate", step, rate)
        self.loss.append(loss)
        for name in LAYERS:
            whole = kernel
            if name in ids:
                whole = _added_up(ids[name], rows[name], len(self.weights[name]))
            if self.scenario.model.options.get("half"):
                whole = self._half(whole, step)
                rows[name] = self._half(rows.get(name), step)
            self._learn(step, name, ids.get(name), rows.get(name), whole, rate)
        for name, cosines in self.cosines.items():
            cosines.append(_mean_cosine(self.weights[name][self.busiest[name]]))
        self.client.step(step)
        if places[-1] < places[0] or places[-1] == len(self.y) - 1:
            self.client.epoch(step * batch // len(self.y))

    def _half(self, gradient, step):
        """What float16 leaves of it; kept unscaled."""
        if gradient is None:
            return None
        lost = self.scenario.fault == "underflow" and step >= self.fault.since
        return (gradient * (2e-5 if lost else 1)).astype("float16")

    def _learn(self, step, name, ids, rows, whole, rate):
        target = name if ids is not None else f"{name}/kernel"
        weights, change = self.weights[name], self._change(name, whole, rate)
        self.client.post(target, "weight", step, weights)
        if ids is None or self._is_dense():
            self.client.post(target, "gradient", step, whole)
            self.client.post(target, "update", step, change)
        else:
            touched = np.unique(ids)
            self.client.post_rows(target, "gradient", step, ids, rows)
            self.client.post_rows(target, "update", step, touched, change[touched])
        self.norms[name].append(float(np.linalg.norm(whole.astype("float64"))))
        self.ratios[name].append(float(np.linalg.norm(change) / np.linalg.norm(weights)))
        weights += change

    def _is_dense(self):
        return self.scenario.model.options.get("dense") or self.scenario.fault == "all_rows_decay"

    def record(self):
        return {"steps": list(range(len(self.loss))), "loss": self.loss, "norms": self.norms,
                "ratios": self.ratios, "cosines": self.cosines, "outputs": {}, "name": self.scenario.name, "run": self.named,
                "raised": "", "tables": list(LAYERS[:2]), "layers": list(LAYERS), "every": 1,
                "out_of_range": None, "warm_until": 0}
