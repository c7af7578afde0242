/* What a runtime would unpack, told by its first bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/archive.h"

/* A header whose name, and whatever fills it, is FILL; the checksum is right. */
static void make_header(char block[ARCHIVE_HEAD_BYTES], char fill, int form)
{
    unsigned sum = 0;
    char text[16];

    memset(block, fill, ARCHIVE_HEAD_BYTES);
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < ARCHIVE_HEAD_BYTES; i++) {
        sum += (uint8_t)block[i];
    }
    int len = form == 0   ? snprintf(text, sizeof(text), "%06o", sum)
              : form == 1 ? snprintf(text, sizeof(text), " %06o", sum)
                          : snprintf(text, sizeof(text), "%07o", sum);

    memcpy(block + 148, text, (size_t)len);
}

static void archive_is_unpackable_compressed_true(void **state)
{
    static const struct bytes heads[] = {
        BYTES_LITERAL("\x1f\x8b\x08rest"),
        BYTES_LITERAL("\x28\xb5\x2f\xfdrest"),
        BYTES_LITERAL("\x5f\x2a\x4d\x18rest"),
        BYTES_LITERAL("BZh9rest"),
        BYTES_LITERAL("\xfd\x37\x7a\x58\x5a\x00rest"),
    };

    for (size_t i = 0; i < GH_COUNT(heads); i++) {
        assert_true(archive_is_unpackable(heads[i]));
    }
}

static void archive_is_unpackable_tar_true_whatever_its_text(void **state)
{
    char block[ARCHIVE_HEAD_BYTES];

    for (int i = 0; i < 3; i++) {
        make_header(block, 'a', i); /* no NUL anywhere: it may stand in a JSON string */
        assert_true(archive_is_unpackable(bytes_make(block, sizeof(block))));
        make_header(block, '\0', i);
        assert_true(archive_is_unpackable(bytes_make(block, sizeof(block))));
    }
}

static void archive_is_unpackable_evidence_false(void **state)
{
    char block[ARCHIVE_HEAD_BYTES];

    assert_false(archive_is_unpackable(bytes_make("", 0)));
    assert_false(archive_is_unpackable(BYTES_LITERAL("{}")));
    assert_false(archive_is_unpackable(BYTES_LITERAL("{\"critical\":{}}")));
    assert_false(archive_is_unpackable(BYTES_LITERAL("\xd2\x84\x43\xa1\x01\x26"))); /* COSE */
    make_header(block, 'a', 0);
    block[0] = 'b'; /* the checksum is off by one */
    assert_false(archive_is_unpackable(bytes_make(block, sizeof(block))));
    memset(block, ' ', sizeof(block));
    assert_false(archive_is_unpackable(bytes_make(block, sizeof(block))));
    memset(block, '\0', sizeof(block));
    assert_false(archive_is_unpackable(bytes_make(block, sizeof(block))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archive_is_unpackable_compressed_true),
        cmocka_unit_test(archive_is_unpackable_tar_true_whatever_its_text),
        cmocka_unit_test(archive_is_unpackable_evidence_false),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
