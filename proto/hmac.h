/* SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104): what a token is proven with. The client library
 * links nothing that has them, and these hundred lines are what we need of a library that does. */
#ifndef EMBMON_PROTO_HMAC_H
#define EMBMON_PROTO_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_BLOCK = 64 };

struct sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes taken so far */
    uint8_t block[SHA256_BLOCK];
};

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t n);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

void hmac_sha256(const void *key, size_t key_length, const void *data, size_t n,
                 uint8_t mac[SHA256_BYTES]);

/* Takes as long for any two: how many bytes are right must not be told by the time it takes. */
bool hmac_equal(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES]);

#endif
