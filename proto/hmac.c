#include "proto/hmac.h"

#include <string.h>

/* The fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* And of the square roots of the first 8. */
static const uint32_t first_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return x >> bits | x << (32 - bits);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void put32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

static void schedule(uint32_t w[64], const uint8_t block[SHA256_BLOCK])
{
    for (int t = 0; t < 16; t++)
        w[t] = get32(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;

        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
}

/* The eight words are a ... h of the standard. */
static void compress(uint32_t state[8], const uint8_t block[SHA256_BLOCK])
{
    uint32_t w[64], v[8];

    schedule(w, block);
    memcpy(v, state, sizeof v);
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + round_constants[t] + w[t];
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);

        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

void sha256_start(struct sha256 *hash)
{
    memcpy(hash->state, first_state, sizeof hash->state);
    hash->length = 0;
}

void sha256_add(struct sha256 *hash, const void *data, size_t n)
{
    const uint8_t *from = data;

    while (n > 0) {
        size_t held = hash->length % SHA256_BLOCK;
        size_t taken = SHA256_BLOCK - held < n ? SHA256_BLOCK - held : n;

        memcpy(hash->block + held, from, taken);
        hash->length += taken;
        from += taken;
        n -= taken;
        if (held + taken == SHA256_BLOCK)
            compress(hash->state, hash->block);
    }
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
    static const uint8_t padding[SHA256_BLOCK] = {0x80};
    uint64_t bits = hash->length * 8;
    size_t held = hash->length % SHA256_BLOCK;
    uint8_t end[8];

    put32(end, (uint32_t)(bits >> 32));
    put32(end + 4, (uint32_t)bits);
    sha256_add(hash, padding, (held < 56 ? 56 : 120) - held);
    sha256_add(hash, end, sizeof end);
    for (int i = 0; i < 8; i++)
        put32(digest + 4 * i, hash->state[i]);
    explicit_bzero(hash, sizeof *hash);
}

/* One of the two passes: the hash of (key xor pad), then data. */
static void keyed(const uint8_t key[SHA256_BLOCK], uint8_t pad, const void *data, size_t n,
                  uint8_t digest[SHA256_BYTES])
{
    uint8_t block[SHA256_BLOCK];
    struct sha256 hash;

    for (size_t i = 0; i < SHA256_BLOCK; i++)
        block[i] = key[i] ^ pad;
    sha256_start(&hash);
    sha256_add(&hash, block, sizeof block);
    sha256_add(&hash, data, n);
    sha256_end(&hash, digest);
    explicit_bzero(block, sizeof block);
}

void hmac_sha256(const void *key, size_t key_length, const void *data, size_t n,
                 uint8_t mac[SHA256_BYTES])
{
    uint8_t block[SHA256_BLOCK] = {0}, inner[SHA256_BYTES];

    if (key_length > SHA256_BLOCK) {
        struct sha256 hash;

        sha256_start(&hash);
        sha256_add(&hash, key, key_length);
        sha256_end(&hash, block);
    } else if (key_length > 0) {
        memcpy(block, key, key_length);
    }
    keyed(block, 0x36, data, n, inner);
    keyed(block, 0x5c, inner, sizeof inner, mac);
    explicit_bzero(block, sizeof block);
}

bool hmac_equal(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES])
{
    volatile uint8_t differs = 0; /* volatile: the compiler must not stop at the first */

    for (size_t i = 0; i < SHA256_BYTES; i++)
        differs = (uint8_t)(differs | (a[i] ^ b[i]));
    return differs == 0;
}
