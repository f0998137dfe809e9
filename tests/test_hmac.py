"""Our HMAC-SHA256 against Python's, over random keys and messages of all the lengths that matter."""

import hashlib
import hmac
import random
import subprocess

from harness import BUILD


def test_macs_are_those_of_python():
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    lengths = [0, 1, 31, 32, 33, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4096]
    pairs = [(chance.randbytes(chance.choice(lengths)), chance.randbytes(chance.choice(lengths)))
             for _ in range(2000)]
    lines = "".join(f"{key.hex() or '-'} {data.hex() or '-'}\n" for key, data in pairs)
    made = subprocess.run([BUILD / "tools" / "hmac"], input=lines, capture_output=True, text=True,
                          check=True).stdout.split()
    wanted = [hmac.new(key, data, hashlib.sha256).hexdigest() for key, data in pairs]
    assert made == wanted, f"seed {seed}"
