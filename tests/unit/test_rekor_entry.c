#include "crypto/rekor_entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/log_case.h"

static json_t *entries_json(void)
{
    struct bytes_buf file = log_case_fixture("github-bundle.json");
    json_t *doc = json_loadb((const char *)file.data, file.len, 0, NULL);
    json_t *entries =
        json_incref((json_t *)sjson_pointer(doc, "/verificationMaterial/tlogEntries"));

    assert_non_null(entries);
    json_decref(doc);
    bytes_buf_done(&file);
    return entries;
}

static enum gh_cause entries_cause(const json_t *entries)
{
    struct rekor_entry out[REKOR_MAX_ENTRIES];
    struct gh_error err = {0};
    size_t count = 0;
    bool ok = rekor_entries_read(entries, out, &count, &err);

    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    while (count > 0) {
        rekor_entry_done(&out[--count]);
    }
    return err.cause;
}

static void rekor_entries_read_broken_member_refused(void **state)
{
    static const struct {
        const char *owner;
        const char *name;
        const char *value; /* NULL: removed */
        enum gh_cause cause;
    } rows[] = {
        {"/0", "logIndex", "7", GH_CAUSE_NONE},
        {"/0", "logIndex", "\"-1\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "logIndex", "\"9223372036854775808\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "logIndex", "1.5", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "integratedTime", "\"-5\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "integratedTime", "{}", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "kindVersion", NULL, GH_TLOG_ENTRY_MALFORMED},
        {"/0/kindVersion", "kind", "\"\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0/kindVersion", "kind", "\"a-kind-longer-than-anything-that-exists\"",
         GH_TLOG_ENTRY_MALFORMED},
        {"/0", "logId", "{\"keyId\":\"AAAA\"}", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "logId", NULL, GH_CAUSE_NONE},
        {"/0", "inclusionPromise", "7", GH_TLOG_ENTRY_MALFORMED},
        {"/0/inclusionPromise", "signedEntryTimestamp", "\"%\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "inclusionProof", "[]", GH_TLOG_ENTRY_MALFORMED},
        {"/0/inclusionProof", "logIndex", "\"-1\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0/inclusionProof", "treeSize", "\"-1\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0/inclusionProof", "rootHash", "\"AAAA\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0/inclusionProof", "hashes", "[7]", GH_TLOG_ENTRY_MALFORMED},
        {"/0/inclusionProof", "hashes", "[\"AAAA\"]", GH_TLOG_ENTRY_MALFORMED},
        {"/0/inclusionProof", "checkpoint", "7", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "canonicalizedBody", "\"====\"", GH_TLOG_ENTRY_MALFORMED},
        {"/0", "canonicalizedBody", NULL, GH_CAUSE_NONE},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        json_t *entries = entries_json();
        json_t *owner = json_array_get(entries, 0);
        enum gh_cause cause;

        if (rows[i].owner[2] != '\0') {
            owner = (json_t *)sjson_pointer(owner, rows[i].owner + 2);
        }
        assert_non_null(owner);
        if (rows[i].value == NULL) {
            assert_int_equal(json_object_del(owner, rows[i].name), 0);
        } else {
            assert_int_equal(json_object_set_new(owner, rows[i].name,
                                                 json_loads(rows[i].value, JSON_DECODE_ANY, NULL)),
                             0);
        }
        cause = entries_cause(entries);
        if (cause != rows[i].cause) {
            fail_msg("row %zu: %s", i, gh_cause_label(cause));
        }
        json_decref(entries);
    }
}

static void rekor_entries_read_counts_limited(void **state)
{
    json_t *entries = entries_json();
    json_t *first = json_array_get(entries, 0);
    json_t *hashes = json_object_get(json_object_get(first, "inclusionProof"), "hashes");
    json_t *hash = json_array_get(hashes, 0);

    while (json_array_size(hashes) < REKOR_MAX_HASHES) {
        assert_int_equal(json_array_append(hashes, hash), 0);
    }
    assert_int_equal(entries_cause(entries), GH_CAUSE_NONE);
    assert_int_equal(json_array_append(hashes, hash), 0);
    assert_int_equal(entries_cause(entries), GH_COUNT_LIMIT_EXCEEDED);
    assert_int_equal(json_array_remove(hashes, 0), 0);
    for (int i = 1; i < REKOR_MAX_ENTRIES; i++) {
        json_t *copy = json_deep_copy(first);

        assert_int_equal(json_object_set_new(copy, "logIndex", json_integer(i)), 0);
        assert_int_equal(json_array_append_new(entries, copy), 0);
    }
    assert_int_equal(entries_cause(entries), GH_CAUSE_NONE);
    assert_int_equal(json_array_append(entries, first), 0);
    assert_int_equal(entries_cause(entries), GH_COUNT_LIMIT_EXCEEDED);
    json_decref(entries);
}

static void rekor_entries_read_duplicate_refused(void **state)
{
    json_t *entries = entries_json();

    assert_int_equal(json_array_append_new(entries, json_deep_copy(json_array_get(entries, 0))), 0);
    assert_int_equal(entries_cause(entries), GH_TLOG_DUPLICATE_ENTRY);
    json_decref(entries);
}

#define BODY "\"body\":\"e30=\""
#define TIME "\"integratedTime\":5"
#define INDEX "\"logIndex\":6"
#define ID "\"logID\":\"00000000000000000000000000000000000000000000000000000000000000ff\""
#define SET "{\"SignedEntryTimestamp\":\"AAAA\","

static void rekor_entry_read_annotation_exact_members(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {SET "\"Payload\":{" BODY "," TIME "," INDEX "," ID "}}", true},
        {SET "\"Payload\":{" BODY "," TIME "," INDEX "," ID ",\"x\":1}}", false},
        {SET "\"x\":1,\"Payload\":{" BODY "," TIME "," INDEX "," ID "}}", false},
        {SET "\"Payload\":{" BODY "," BODY "," TIME "," INDEX "," ID "}}", false},
        {SET "\"Payload\":{" TIME "," INDEX "," ID "}}", false},
        {SET "\"Payload\":{" BODY "," INDEX "," ID "}}", false},
        {SET "\"Payload\":{" BODY "," TIME "," ID "}}", false},
        {SET "\"Payload\":{" BODY "," TIME "," INDEX "}}", false},
        {"{\"Payload\":{" BODY "," TIME "," INDEX "," ID "}}", false},
        {SET "\"Payload\":{" BODY ",\"integratedTime\":\"5\"," INDEX "," ID "}}", false},
        {SET "\"Payload\":{" BODY ",\"integratedTime\":-5," INDEX "," ID "}}", false},
        {SET "\"Payload\":{" BODY "," TIME ",\"logIndex\":-6," ID "}}", false},
        {SET "\"Payload\":{" BODY "," TIME "," INDEX ",\"logID\":\"FF\"}}", false},
        {"[]", false},
        {"", false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        struct rekor_entry entry;
        bool ok = rekor_entry_read_annotation(bytes_of(rows[i].text), &entry, &err);

        if (ok != rows[i].is_good || (!ok && err.cause != GH_TLOG_ENTRY_MALFORMED)) {
            fail_msg("row %zu: %s", i, gh_cause_label(err.cause));
        }
        if (ok) {
            assert_int_equal(entry.log_index, 6);
            assert_int_equal(entry.integrated_unix_s, 5);
            assert_int_equal(entry.log_id[31], 0xff);
            assert_string_equal(entry.kind, "");
            rekor_entry_done(&entry);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rekor_entries_read_broken_member_refused),
        cmocka_unit_test(rekor_entries_read_counts_limited),
        cmocka_unit_test(rekor_entries_read_duplicate_refused),
        cmocka_unit_test(rekor_entry_read_annotation_exact_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
