#include "crypto/rfc3339.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void rfc3339_parse_table_agrees(void **state)
{
    static const struct {
        const char *text;
        bool is_time;
        int64_t unix_s;
    } rows[] = {
        {"1970-01-01T00:00:00Z", true, 0},
        {"2026-01-01T00:00:00Z", true, 1767225600},
        {"2024-02-29T12:00:00Z", true, 1709208000},
        {"1969-12-31T23:59:59Z", true, -1},
        {"2021-12-18T13:28:12.99008-06:00", true, 1639855692},
        {"2026-01-01T01:00:00+01:00", true, 1767225600},
        {"2025-02-29T00:00:00Z", false, 0},
        {"2025-00-10T00:00:00Z", false, 0},
        {"2025-13-10T00:00:00Z", false, 0},
        {"2025-01-32T00:00:00Z", false, 0},
        {"2025-01-01T24:00:00Z", false, 0},
        {"2025-01-01T00:60:00Z", false, 0},
        {"2025-01-01T00:00:60Z", false, 0},
        {"2025-01-01T00:00:00", false, 0},
        {"2025-01-01T00:00:00z", false, 0},
        {"2025-01-01 00:00:00Z", false, 0},
        {"2025-01-01T00:00:00.Z", false, 0},
        {"2025-01-01T00:00:00Zx", false, 0},
        {"2025-01-01T00:00:00+1:00", false, 0},
        {"2025-01-01T00:00:00+24:00", false, 0},
        {"+025-01-01T00:00:00Z", false, 0},
        {"", false, 0},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        int64_t time = 0;

        assert_int_equal(rfc3339_parse(bytes_of(rows[i].text), &time), rows[i].is_time);
        assert_true(time == rows[i].unix_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rfc3339_parse_table_agrees)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
