/* HMAC-SHA256 for tests/test_hmac.py: reads lines "KEY DATA" in hexadecimal ("-": empty), prints
 * the mac of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hmac.h"

enum { BYTES_MAX = 1 << 16 };

static size_t from_hex(const char *hex, uint8_t *to)
{
    size_t n = 0;
    unsigned byte;

    for (; n < BYTES_MAX && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        to[n] = (uint8_t)byte;
    return n;
}

int main(void)
{
    static char key[2 * BYTES_MAX + 1], data[2 * BYTES_MAX + 1];
    static uint8_t key_bytes[BYTES_MAX], data_bytes[BYTES_MAX];

    while (scanf("%131072s %131072s", key, data) == 2) {
        uint8_t mac[SHA256_BYTES];
        size_t key_length = from_hex(key, key_bytes), length = from_hex(data, data_bytes);

        hmac_sha256(key_bytes, key_length, data_bytes, length, mac);
        for (size_t i = 0; i < sizeof mac; i++)
            printf("%02x", mac[i]);
        putchar('\n');
    }
    return 0;
}
