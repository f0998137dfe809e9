/* TFRecord, the container of event files:
 *
 *     u64 length | u32 masked CRC-32C of the length | data | u32 masked CRC-32C of the data
 */
#ifndef EMBMON_TENSORBOARD_TFRECORD_H
#define EMBMON_TENSORBOARD_TFRECORD_H

#include <stddef.h>
#include <stdint.h>

enum { TFRECORD_HEADER = 12, TFRECORD_FOOTER = 4, TFRECORD_MAX = 16 << 20 };

/* Completes a record whose data of `length` bytes lies at record + TFRECORD_HEADER; the record is
 * then TFRECORD_HEADER + length + TFRECORD_FOOTER bytes. */
void tfrecord_seal(uint8_t *record, size_t length);

enum tfrecord_result {
    TFRECORD_OK,
    TFRECORD_MORE, /* the rest of the record is not there */
    TFRECORD_BAD,  /* a checksum or the length is wrong: nothing later in the file can be trusted */
};

/* Reads the record at data[0 ... n). TFRECORD_OK: *payload (borrowed), *length and *used are set.
 */
enum tfrecord_result tfrecord_read(const uint8_t *data, size_t n, const uint8_t **payload,
                                   size_t *length, size_t *used);

#endif
