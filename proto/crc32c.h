/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of frames and of event-file records;
 * zlib's crc32() is another polynomial. crc32c(0, "123456789", 9) = 0xe3069283. */
#ifndef EMBMON_PROTO_CRC32C_H
#define EMBMON_PROTO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to start) over n bytes: crc32c(crc32c(0, a), b) = crc32c(0, ab). */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

/* The same without vectors, and without the processor's own instruction, for those that have none
 * and for the tests. */
uint32_t crc32c_plain(uint32_t crc, const void *data, size_t n);
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n);

/* Of two pieces one behind the other, the second of n bytes: crc32c_join(crc32c(0, a),
 * crc32c(0, b), n) = crc32c(0, ab). Some thousand instructions, whatever n. */
uint32_t crc32c_join(uint32_t first, uint32_t second, uint64_t n);

/* The masked form that TFRecord stores: rotated right by 15 bits, plus 0xa282ead8. */
uint32_t crc32c_mask(uint32_t crc);

#endif
