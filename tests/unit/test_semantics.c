#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/semantics.h"

static void semantics_range_table_decided_as_said(void **state)
{
    static const struct {
        const char *value;
        uint64_t total;
        enum semantics_range answer;
        uint64_t first;
        uint64_t last;
    } rows[] = {
        {"bytes=0-0", 10, SEMANTICS_RANGE_PART, 0, 0},
        {"bytes=0-9", 10, SEMANTICS_RANGE_PART, 0, 9},
        {"bytes=0-10", 10, SEMANTICS_RANGE_PART, 0, 9},
        {"Bytes=3-", 10, SEMANTICS_RANGE_PART, 3, 9},
        {"bytes=9-", 10, SEMANTICS_RANGE_PART, 9, 9},
        {"bytes=10-", 10, SEMANTICS_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, SEMANTICS_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-4", 10, SEMANTICS_RANGE_PART, 6, 9},
        {"bytes=-10", 10, SEMANTICS_RANGE_PART, 0, 9},
        {"bytes=-11", 10, SEMANTICS_RANGE_PART, 0, 9},
        {"bytes=-0", 10, SEMANTICS_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=5-4", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"bytes=0-1,3-4", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"bytes=-", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"bytes=", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"bytes=a-b", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"bytes=1", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"items=0-1", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"bytes=0-99999999999999999999", 10, SEMANTICS_RANGE_ALL, 0, 0},
        {"", 10, SEMANTICS_RANGE_ALL, 0, 0},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        uint64_t first = 0;
        uint64_t last = 0;

        assert_int_equal(
            semantics_range_decide(bytes_of(rows[i].value), rows[i].total, &first, &last),
            rows[i].answer);
        assert_int_equal(first, rows[i].first);
        assert_int_equal(last, rows[i].last);
    }
}

static void semantics_etag_lists_compared_weakly(void **state)
{
    struct bytes etag = BYTES_LITERAL("\"sha256:ab\"");

    assert_true(semantics_etag_matches(BYTES_LITERAL("*"), etag));
    assert_true(semantics_etag_matches(BYTES_LITERAL("\"sha256:ab\""), etag));
    assert_true(semantics_etag_matches(BYTES_LITERAL("\"x\" , W/\"sha256:ab\""), etag));
    assert_false(semantics_etag_matches(BYTES_LITERAL("sha256:ab"), etag));
    assert_false(semantics_etag_matches(BYTES_LITERAL("\"sha256:a\""), etag));
    assert_false(semantics_etag_matches(BYTES_LITERAL(""), etag));
    assert_true(semantics_if_range_matches(BYTES_LITERAL("\"sha256:ab\""), etag));
    assert_false(semantics_if_range_matches(BYTES_LITERAL("W/\"sha256:ab\""), etag));
    assert_false(semantics_if_range_matches(BYTES_LITERAL("Sun, 06 Nov 1994 08:49:37 GMT"), etag));
}

static void semantics_date_known_second_written(void **state)
{
    char date[SEMANTICS_DATE_BYTES + 1];

    semantics_date(784111777, date);
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(semantics_range_table_decided_as_said),
        cmocka_unit_test(semantics_etag_lists_compared_weakly),
        cmocka_unit_test(semantics_date_known_second_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
