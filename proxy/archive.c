#include "proxy/archive.h"

#include <string.h>

#define ARCHIVE_CHECKSUM_AT 148
#define ARCHIVE_CHECKSUM_BYTES 8

static bool archive_is_compressed(struct bytes head)
{
    static const struct bytes magics[] = {
        BYTES_LITERAL("\x1f\x8b"),                 /* gzip */
        BYTES_LITERAL("\x28\xb5\x2f\xfd"),         /* zstd */
        BYTES_LITERAL("BZh"),                      /* bzip2 */
        BYTES_LITERAL("\xfd\x37\x7a\x58\x5a\x00"), /* xz */
    };

    for (size_t i = 0; i < GH_COUNT(magics); i++) {
        if (bytes_starts_with(head, magics[i])) {
            return true;
        }
    }
    /* A skippable frame of zstd: 0x184D2A50 to 0x184D2A5F, the lowest byte first. */
    return head.len >= 4 && (head.data[0] & 0xf0) == 0x50 && head.data[1] == 0x2a &&
           head.data[2] == 0x4d && head.data[3] == 0x18;
}

/* Readers of tar know a header by its checksum alone, taken over signed or unsigned bytes. */
static bool archive_is_tar(struct bytes head)
{
    int64_t unsigned_sum = 0;
    int64_t signed_sum = 0;
    int64_t wanted = 0;
    bool has_digit = false;

    if (head.len < ARCHIVE_HEAD_BYTES) {
        return false;
    }
    for (size_t i = 0; i < ARCHIVE_HEAD_BYTES; i++) {
        bool is_checksum =
            i >= ARCHIVE_CHECKSUM_AT && i < ARCHIVE_CHECKSUM_AT + ARCHIVE_CHECKSUM_BYTES;
        uint8_t c = is_checksum ? ' ' : head.data[i];

        unsigned_sum += c;
        signed_sum += c < 128 ? c : (int64_t)c - 256;
    }
    for (size_t i = ARCHIVE_CHECKSUM_AT; i < ARCHIVE_CHECKSUM_AT + ARCHIVE_CHECKSUM_BYTES; i++) {
        uint8_t c = head.data[i];

        if (c >= '0' && c <= '7') {
            wanted = wanted * 8 + (c - '0');
            has_digit = true;
        } else if (c != ' ' && c != '\0') {
            return false;
        } else if (has_digit) {
            break;
        }
    }
    return has_digit && (wanted == unsigned_sum || wanted == signed_sum);
}

bool archive_is_unpackable(struct bytes head)
{
    return archive_is_compressed(head) || archive_is_tar(head);
}
