#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "policy/evidence_record.h"

static void evidence_record_round_trip_kept(void **state)
{
    const struct evidence_annotation annotations[] = {{"a", "1"}, {"b \"x\"", "2\n"}};
    struct evidence_item items[] = {
        {.kind = EVIDENCE_COSIGN_SIGNATURE,
         .location = "tag sha256-00.sig, layer 0",
         .blob = BYTES_LITERAL("payload"),
         .annotations = annotations,
         .annotation_count = 2},
        {.kind = EVIDENCE_BROKEN, .location = "referrer x"},
        {.kind = EVIDENCE_BUNDLE, .location = "referrer y", .blob = BYTES_LITERAL("{}")},
    };
    const struct evidence_set set = {.items = items, .count = 3};
    GH_OWN(evidence_record_freep) struct evidence_record *record = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf stored = {0};
    struct bytes_buf blob;
    struct gh_error err = {0};

    assert_true(digest_compute(DIGEST_SHA256, items[0].blob, &items[0].digest, &err));
    assert_true(digest_compute(DIGEST_SHA256, items[2].blob, &items[2].digest, &err));
    assert_true(evidence_record_encode(&set, &stored, &err));
    assert_true(evidence_record_decode(bytes_view(&stored), &record, &err));
    assert_int_equal(record->set.count, 2);
    assert_int_equal(record->items[0].kind, EVIDENCE_COSIGN_SIGNATURE);
    assert_string_equal(record->items[0].location, "tag sha256-00.sig, layer 0");
    assert_string_equal(evidence_annotation_get(&record->items[0], "b \"x\""), "2\n");
    assert_int_equal(record->items[1].kind, EVIDENCE_BUNDLE);
    assert_true(bytes_dup(BYTES_LITERAL("payload"), &blob, &err));
    assert_true(evidence_record_fill(record, 0, &blob, &err));
    assert_true(bytes_equal_cstr(record->set.items[0].blob, "payload"));
    assert_true(bytes_dup(BYTES_LITERAL("other"), &blob, &err));
    assert_false(evidence_record_fill(record, 1, &blob, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
}

static void evidence_record_decode_damage_is_stale(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"items\":[{}]}",
        "{\"items\":[{\"kind\":0,\"digest\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000000\",\"location\":\"\","
        "\"annotations\":{}}]}",
        "{\"items\":[{\"kind\":1,\"digest\":\"md5:00\",\"location\":\"\",\"annotations\":{}}]}",
        "{\"items\":[{\"kind\":1,\"digest\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000000\",\"location\":\"\","
        "\"annotations\":{\"a\":1}}]}",
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct evidence_record *record = NULL;
        struct gh_error err = {0};

        assert_false(evidence_record_decode(bytes_of(rows[i]), &record, &err));
        assert_int_equal(err.cause, GH_VERDICT_STALE);
        assert_null(record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_record_round_trip_kept),
        cmocka_unit_test(evidence_record_decode_damage_is_stale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
