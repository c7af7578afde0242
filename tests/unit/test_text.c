#include "metrics/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void text_printf_every_fill_level_is_whole(void **state)
{
    /* The buffer starts with 256 bytes: what just fits, what just does not, and what is far past.
     */
    for (size_t before = 0; before < 600; before++) {
        struct text text;
        char filler[600];

        text_init(&text, 4096);
        memset(filler, 'x', sizeof(filler));
        text_put_bytes(&text, filler, before);
        text_printf(&text, "%s-%d", "seven", 7);
        assert_true(text_ok(&text));
        assert_int_equal(text.len, before + 7);
        assert_string_equal(text_cstr(&text) + before, "seven-7");
        text_done(&text);
    }
}

static void text_printf_past_limit_leaves_what_was(void **state)
{
    struct text text;

    text_init(&text, 10);
    text_put(&text, "12345678");
    text_printf(&text, "%d", 12);
    assert_true(text_ok(&text));
    text_printf(&text, "%d", 3);
    assert_false(text_ok(&text));
    assert_string_equal(text_cstr(&text), "1234567812");
    text_done(&text);
}

static void text_put_json_bytes_hostile_escaped(void **state)
{
    static const char in[] = "a\"b\\c\nd\x01\x7f\xc3\xa9\xff\0z";
    struct text text;

    text_init(&text, 4096);
    text_put_json_bytes(&text, in, sizeof(in) - 1);
    assert_true(text_ok(&text));
    assert_string_equal(text_cstr(&text),
                        "\"a\\\"b\\\\c\\nd\\u0001\\u007f\xc3\xa9\\ufffd\\u0000z\"");
    text_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_printf_every_fill_level_is_whole),
        cmocka_unit_test(text_printf_past_limit_leaves_what_was),
        cmocka_unit_test(text_put_json_bytes_hostile_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
