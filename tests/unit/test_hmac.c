#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hmac.h"

static void expect_hex(const uint8_t digest[SHA256_BYTES], const char *hex)
{
    char text[2 * SHA256_BYTES + 1];

    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, hex);
}

static void expect_sha256(const char *data, size_t n, size_t times, const char *hex)
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 hash;

    sha256_start(&hash);
    for (size_t i = 0; i < times; i++)
        sha256_add(&hash, data, n);
    sha256_end(&hash, digest);
    expect_hex(digest, hex);
}

/* RFC 6234, section 8.5, TEST1 to TEST4; and of nothing. */
static void the_hashes_are_those_of_rfc_6234(void **state)
{
    (void)state;
    expect_sha256("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, 1,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect_sha256("a", 1, 1000000,
                  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    expect_sha256("0123456701234567012345670123456701234567012345670123456701234567", 64, 10,
                  "594847328451bdfa85056225462cc1d867d877fb388df0ce35f25ab5562bfbb5");
}

static void a_hash_does_not_depend_on_how_its_data_is_cut(void **state)
{
    uint8_t data[300], whole[SHA256_BYTES], cut[SHA256_BYTES];
    struct sha256 hash;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof data; n++) {
        sha256_start(&hash);
        sha256_add(&hash, data, n);
        sha256_end(&hash, whole);
        sha256_start(&hash);
        for (size_t at = 0, piece = 1; at < n; at += piece, piece = piece % 70 + 1) {
            piece = piece < n - at ? piece : n - at;
            sha256_add(&hash, data + at, piece);
        }
        sha256_end(&hash, cut);
        assert_memory_equal(whole, cut, sizeof whole);
    }
}

static void expect_mac(const char *key, size_t key_length, const char *data, const char *hex)
{
    uint8_t mac[SHA256_BYTES];

    hmac_sha256(key, key_length, data, strlen(data), mac);
    expect_hex(mac, hex);
}

/* RFC 4231, section 4, test cases 1 to 4, 6 and 7; 5 is a truncated one. */
static void the_macs_are_those_of_rfc_4231(void **state)
{
    char key[131], data[51];

    (void)state;
    memset(key, 0x0b, 20);
    expect_mac(key, 20, "Hi There",
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    expect_mac("Jefe", 4, "what do ya want for nothing?",
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    memset(data, 0xdd, 50);
    data[50] = '\0';
    expect_mac(key, 20, data, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    for (int i = 0; i < 25; i++)
        key[i] = (char)(i + 1);
    memset(data, 0xcd, 50);
    expect_mac(key, 25, data, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    memset(key, 0xaa, sizeof key);
    expect_mac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First",
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    expect_mac(key, 131,
               "This is a test using a larger than block-size key and a larger than block-size "
               "data. The key needs to be hashed before being used by the HMAC algorithm.",
               "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

static void macs_are_equal_only_when_every_bit_is(void **state)
{
    uint8_t a[SHA256_BYTES], b[SHA256_BYTES];

    (void)state;
    hmac_sha256("key", 3, "data", 4, a);
    memcpy(b, a, sizeof b);
    assert_true(hmac_equal(a, b));
    for (size_t bit = 0; bit < 8 * SHA256_BYTES; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(hmac_equal(a, b));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(hmac_equal(a, b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hashes_are_those_of_rfc_6234),
        cmocka_unit_test(a_hash_does_not_depend_on_how_its_data_is_cut),
        cmocka_unit_test(the_macs_are_those_of_rfc_4231),
        cmocka_unit_test(macs_are_equal_only_when_every_bit_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
